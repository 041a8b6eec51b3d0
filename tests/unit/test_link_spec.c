#include "datapath/link.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static struct link_spec parsed(const char *text)
{
    char error[LINK_ERROR_MAX] = "";
    struct link_spec spec;

    memset(&spec, 0xee, sizeof(spec));
    if (link_spec_parse(text, &spec, error) != 0)
        fail_msg("%s: %s", text, error);
    assert_int_equal(spec.fd, -1);
    return spec;
}

static void test_tap(void **state)
{
    struct link_spec spec = parsed("tap,name=eth0");

    (void)state;
    assert_int_equal(spec.kind, LINK_TAP);
    assert_string_equal(spec.device, "eth0");
    assert_string_equal(spec.netns, "");
    assert_string_equal(spec.guest, "");
    assert_false(spec.mac_pinned);
    assert_int_equal(spec.ip.family, ADDR_NONE);

    spec = parsed("tap,name=eth0,netns=/run/netns/a,guest=web,mac=02:00:00:aB:cd:eF,ip=192.0.2.7");
    assert_string_equal(spec.netns, "/run/netns/a");
    assert_string_equal(spec.guest, "web");
    assert_true(spec.mac_pinned);
    assert_memory_equal(spec.mac, ((uint8_t[]){2, 0, 0, 0xab, 0xcd, 0xef}), FRAME_MAC_BYTES);
    assert_int_equal(addr_to_v4(&spec.ip), 0xc0000207);
}

static void test_stream(void **state)
{
    struct link_spec spec = parsed("stream,path=/run/vm.sock");

    (void)state;
    assert_int_equal(spec.kind, LINK_STREAM);
    assert_string_equal(spec.path, "/run/vm.sock");
    assert_false(spec.connect || spec.super_segments);

    spec = parsed("stream,path=/run/vm.sock,connect,name=db,offload=compat");
    assert_true(spec.connect && spec.super_segments);
    assert_string_equal(spec.guest, "db");
    spec = parsed("stream,path=/a=b"); /* only the first '=' divides */
    assert_string_equal(spec.path, "/a=b");
}

static const struct {
    const char *why, *text, *in_error;
} refused[] = {
    {"nothing", "", "unknown link type"},
    {"another type", "vhost-user,path=/x", "vhost-user"},
    {"a type with a value", "tap=1,name=eth0", "tap=1"},
    {"no device", "tap", "name"},
    {"no path", "stream,connect", "path"},
    {"an empty value", "tap,name=", "name"},
    {"no value", "tap,name", "name"},
    {"a device name longer than the kernel takes", "tap,name=abcdefghijklmnop", "too long"},
    {"a path longer than a socket address",
     "stream,path=/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "too long"},
    {"the device twice: which one?", "tap,name=a,name=b", "repeated"},
    {"an option of the other type", "stream,path=/x,netns=1", "netns"},
    {"the same the other way", "tap,name=a,path=/x", "path"},
    {"a value where none belongs", "stream,path=/x,connect=yes", "connect"},
    {"an unknown offload", "stream,path=/x,offload=all", "all"},
    {"a MAC with too few parts", "tap,name=a,mac=02:00:00:00:00", "MAC"},
    {"with too many", "tap,name=a,mac=02:00:00:00:00:00:00", "MAC"},
    {"with one digit", "tap,name=a,mac=2:00:00:00:00:00", "MAC"},
    {"with blanks, which scanf skips", "tap,name=a,mac=02: 0:00:00:00:00", "MAC"},
    {"with a sign, which scanf takes", "tap,name=a,mac=02:+1:00:00:00:00", "MAC"},
    {"with 0x, which scanf takes", "tap,name=a,mac=02:0x:00:00:00:00", "MAC"},
    {"of a group", "tap,name=a,mac=01:00:00:00:00:00", "MAC"},
    {"with text behind it", "tap,name=a,mac=02:00:00:00:00:00x", "MAC"},
    {"no address", "tap,name=a,ip=10.0.0", "10.0.0"},
    {"a network", "tap,name=a,ip=10.0.0.0/8", "10.0.0.0/8"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        char error[LINK_ERROR_MAX] = "";
        struct link_spec spec = {.fd = 77};
        int err = link_spec_parse(refused[i].text, &spec, error);

        if (err != -EINVAL || !strstr(error, refused[i].in_error) || spec.fd != 77)
            fail_msg("%s: %d, '%s'", refused[i].why, err, error);
    }
}

/* Any length is either read or refused with a whole sentence. */
static void test_long_specs(void **state)
{
    char text[3000] = "tap,name=eth0,netns=", error[LINK_ERROR_MAX];
    struct link_spec spec;

    (void)state;
    for (size_t at = strlen(text); at < sizeof(text) - 1; at++) {
        size_t netns = at - strlen("tap,name=eth0,netns=");

        text[at] = 'x';
        text[at + 1] = '\0';
        memset(error, 'e', sizeof(error));
        if (netns + 1 <= LINK_PATH_MAX) {
            assert_int_equal(link_spec_parse(text, &spec, error), 0);
        } else {
            assert_int_equal(link_spec_parse(text, &spec, error), -EINVAL);
            assert_non_null(memchr(error, '\0', sizeof(error)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tap),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_specs),
    };

    return cmocka_run_group_tests_name("link_spec", tests, NULL, NULL);
}
