#include "cmd/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    char dir[64], path[96];
} t;

static int set_up(void **state)
{
    (void)state;
    strcpy(t.dir, "/tmp/weir-key.XXXXXX");
    if (!mkdtemp(t.dir))
        return -1;
    (void)snprintf(t.path, sizeof(t.path), "%s/key", t.dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(t.path);
    return rmdir(t.dir); /* nothing else is left there */
}

static void write_file(const void *bytes, size_t len)
{
    int fd = open(t.path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(close(fd), 0);
}

static void test_d13_made_once_and_kept(void **state)
{
    struct siphash_key first = {{0, 0}}, second = {{0, 0}};
    struct stat st;

    (void)state;
    assert_int_equal(key_file_read(t.path, &first), 0);
    assert_true((first.k[0] | first.k[1]) != 0);
    assert_int_equal(stat(t.path, &st), 0);
    assert_int_equal(st.st_size, KEY_FILE_BYTES);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(key_file_read(t.path, &second), 0);
    assert_memory_equal(&first, &second, sizeof(first));
}

static void test_d13_what_is_no_key(void **state)
{
    static const uint8_t zeroes[KEY_FILE_BYTES], longer[KEY_FILE_BYTES + 1] = {1};
    struct siphash_key key = {{7, 7}};

    (void)state;
    write_file(zeroes, sizeof(zeroes));
    assert_int_equal(key_file_read(t.path, &key), -EINVAL);
    write_file(longer, sizeof(longer));
    assert_int_equal(key_file_read(t.path, &key), -EINVAL);
    write_file(longer, 3);
    assert_int_equal(key_file_read(t.path, &key), -EINVAL);
    write_file("", 0);
    assert_int_equal(key_file_read(t.path, &key), -EINVAL);
    assert_int_equal(key_file_read(t.dir, &key), -EINVAL);
    assert_int_equal(key.k[0], 7);
}

static void test_d13_no_place_for_it(void **state)
{
    struct siphash_key key = {{7, 7}};
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/nowhere/key", t.dir);
    assert_int_equal(key_file_read(path, &key), -ENOENT);
    assert_int_equal(key.k[0], 7);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_d13_made_once_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_d13_what_is_no_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_d13_no_place_for_it, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("key_file", tests, NULL, NULL);
}
