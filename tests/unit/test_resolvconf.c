#include "proxy/resolvconf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

static const struct {
    const char *why, *text, *servers; /* servers: joined by blanks */
} cases[] = {
    {"the usual", "nameserver 192.0.2.1\nnameserver 2001:db8::1\n", "192.0.2.1 2001:db8::1"},
    {"no line end at the end", "nameserver 192.0.2.1", "192.0.2.1"},
    {"nothing", "", ""},
    {"only line ends", "\n\n\n", ""},
    {"other lines", "search example.org\noptions edns0\nnameserver 192.0.2.1\n", "192.0.2.1"},
    {"comments", "# nameserver 192.0.2.9\n; nameserver 192.0.2.8\nnameserver 192.0.2.1 # the first\n", "192.0.2.1"},
    {"a comment without a blank", "nameserver 192.0.2.1#x\nnameserver 192.0.2.2;x\n", "192.0.2.1 192.0.2.2"},
    {"tabs and more blanks", "nameserver\t \t192.0.2.1  \n", "192.0.2.1"},
    {"carriage returns", "nameserver 192.0.2.1\r\nnameserver 192.0.2.2\r\n", "192.0.2.1 192.0.2.2"},
    {"the keyword starts the line (resolv.conf(5))", " nameserver 192.0.2.1\n", ""},
    {"another word that begins like it", "nameservers 192.0.2.1\nnameserver192.0.2.1\n", ""},
    {"the keyword alone", "nameserver\nnameserver \n", ""},
    {"upper case is another word", "NAMESERVER 192.0.2.1\n", ""},
    {"a scope cannot be read", "nameserver fe80::1%eth0\nnameserver 192.0.2.1\n", "192.0.2.1"},
    {"a name cannot be read", "nameserver localhost\n", ""},
    {"too long a word", "nameserver 1111111111111111111111111111111111111111111111111111111111111111\n", ""},
    {"eight at most",
     "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\nnameserver 192.0.2.5\n"
     "nameserver 192.0.2.6\nnameserver 192.0.2.7\nnameserver 192.0.2.8\nnameserver 192.0.2.9\n",
     "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8"},
};

static void join(const struct addr *servers, size_t count, char *out)
{
    *out = '\0';
    for (size_t i = 0; i < count; i++) {
        char text[ADDR_TEXT_MAX];

        if (i > 0)
            strcat(out, " ");
        strcat(out, addr_format(&servers[i], text));
    }
}

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct addr servers[RESOLVCONF_SERVERS_MAX];
        char joined[RESOLVCONF_SERVERS_MAX * (ADDR_TEXT_MAX + 1)];
        size_t len = strlen(cases[i].text);
        char *exact = malloc(len + 1); /* no NUL behind it: a read too far is seen */

        assert_non_null(exact);
        memcpy(exact, cases[i].text, len);
        exact = realloc(exact, len > 0 ? len : 1);
        assert_non_null(exact);
        join(servers, resolvconf_parse(exact, len, servers), joined);
        free(exact);
        if (strcmp(joined, cases[i].servers) != 0)
            fail_msg("%s: '%s'", cases[i].why, joined);
    }
}

static void test_nul_bytes(void **state)
{
    static const char text[] = "nameserver 192.0.2.1\0x\nname\0server 192.0.2.2\nnameserver 192.0.2.3\n";
    struct addr servers[RESOLVCONF_SERVERS_MAX];
    char joined[RESOLVCONF_SERVERS_MAX * (ADDR_TEXT_MAX + 1)];

    (void)state;
    /* A NUL is no end of a line; the address before it reads as the C string it is. */
    join(servers, resolvconf_parse(text, sizeof(text) - 1, servers), joined);
    assert_string_equal(joined, "192.0.2.1 192.0.2.3");
}

static void test_read(void **state)
{
    char path[] = "/tmp/test_resolvconf_XXXXXX";
    struct addr servers[RESOLVCONF_SERVERS_MAX];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "nameserver 192.0.2.1\n", 21), 21);
    assert_int_equal(close(fd), 0);
    assert_int_equal(resolvconf_read(path, servers), 1);
    assert_int_equal(addr_to_v4(&servers[0]), 0xc0000201);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(resolvconf_read(path, servers), -ENOENT);
    assert_int_equal(resolvconf_read("/tmp", servers), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_read),
    };

    return cmocka_run_group_tests_name("resolvconf", tests, NULL, NULL);
}
