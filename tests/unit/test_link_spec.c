#include "datapath/link.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "datapath/link_backend.h"

static struct link_spec parsed(const char *text)
{
    char error[LINK_ERROR_MAX] = "";
    struct link_spec spec;

    memset(&spec, 0xee, sizeof(spec));
    if (link_spec_parse(text, &spec, error) != 0)
        fail_msg("%s: %s", text, error);
    return spec;
}

static void test_tap(void **state)
{
    struct link_spec spec = parsed("tap,name=eth0");

    (void)state;
    assert_ptr_equal(spec.kind, &link_kind_tap);
    assert_string_equal(spec.as.tap.device, "eth0");
    assert_string_equal(spec.as.tap.netns, "");
    assert_false(spec.as.tap.given);
    assert_string_equal(spec.guest, "");
    assert_false(spec.mac_pinned);
    assert_int_equal(spec.ip.family, ADDR_NONE);

    spec = parsed("tap,name=eth0,netns=/run/netns/a,guest=web,mac=02:00:00:aB:cd:eF,ip=192.0.2.7");
    assert_string_equal(spec.as.tap.netns, "/run/netns/a");
    assert_string_equal(spec.guest, "web");
    assert_true(spec.mac_pinned);
    assert_memory_equal(spec.mac, ((uint8_t[]){2, 0, 0, 0xab, 0xcd, 0xef}), FRAME_MAC_BYTES);
    assert_int_equal(addr_to_v4(&spec.ip), 0xc0000207);
}

static void test_stream(void **state)
{
    struct link_spec spec = parsed("stream,path=/run/vm.sock");

    (void)state;
    assert_ptr_equal(spec.kind, &link_kind_stream);
    assert_string_equal(spec.as.stream.path, "/run/vm.sock");
    assert_false(spec.as.stream.connect || spec.as.stream.super_segments);

    spec = parsed("stream,path=/run/vm.sock,connect,name=db,offload=compat");
    assert_true(spec.as.stream.connect && spec.as.stream.super_segments);
    assert_string_equal(spec.guest, "db");
    spec = parsed("stream,path=/a=b"); /* only the first '=' divides */
    assert_string_equal(spec.as.stream.path, "/a=b");
}

/* exec's: the names are for messages, the device is there. */
static void test_a_tap_that_is_open(void **state)
{
    struct tap_device tap = {.fd = 77, .bulk_fd = -1, .tso4 = true, .ring_set = true};
    struct link_spec spec = link_spec_of_tap("eth0", &tap);

    (void)state;
    assert_ptr_equal(spec.kind, &link_kind_tap);
    assert_string_equal(spec.as.tap.device, "eth0");
    assert_true(spec.as.tap.given);
    assert_int_equal(spec.as.tap.tap.fd, 77);
    assert_true(spec.as.tap.tap.tso4 && !spec.as.tap.tap.tso6 && spec.as.tap.tap.ring_set);
    assert_int_equal(spec.ip.family, ADDR_NONE);
}

static const struct {
    const char *why, *text, *in_error;
} refused[] = {
    {"nothing", "", "unknown link type"},
    {"another type, and which there are", "vhost,path=/x", "'vhost': this version has tap, stream"},
    {"a type with a value", "tap=1,name=eth0", "tap=1"},
    {"no device, and how to write it", "tap", "'name': write tap,name=DEVICE"},
    {"no path", "stream,connect", "'path': write stream,path=SOCKET"},
    {"an empty value", "tap,name=", "name"},
    {"no value", "tap,name", "name"},
    {"a device name longer than the kernel takes", "tap,name=abcdefghijklmnop", "too long"},
    {"a path longer than a socket address",
     "stream,path=/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "too long"},
    {"a device name the kernel would complete", "tap,name=vm%d", "vm%d"},
    {"the device twice: which one?", "tap,name=a,name=b", "repeated link option 'name'"},
    {"a path twice", "stream,path=/a,path=/b", "repeated link option 'path'"},
    {"a namespace twice", "tap,name=a,netns=1,netns=2", "repeated link option 'netns'"},
    {"a MAC twice", "tap,name=a,mac=02:00:00:00:00:01,mac=02:00:00:00:00:02", "repeated link option 'mac'"},
    {"an address twice", "tap,name=a,ip=10.0.0.2,ip=10.0.0.3", "repeated link option 'ip'"},
    {"a word twice, the same each time", "stream,path=/a,connect,connect", "repeated link option 'connect'"},
    {"the same with another option between", "stream,connect,path=/a,connect", "repeated link option 'connect'"},
    {"an empty option", "stream,,path=/a", "empty link option in 'stream,,path=/a'"},
    {"an empty option behind the last", "stream,path=/a,", "empty link option"},
    {"a type with an empty option only", "tap,", "empty link option"},
    {"a value of nothing", "stream,path=/a,=b", "empty link option"},
    {"a comma first", ",tap,name=a", "unknown link type ''"},
    {"a guest's name that breaks a line", "stream,path=/a,name=a\nb", "not a guest's name"},
    {"the same for a tap", "tap,name=a,guest=a b", "not a guest's name 'a b'"},
    {"no guest's name", "tap,name=a,guest=", "without a value 'guest'"},
    {"an option of the other type", "stream,path=/x,netns=1", "netns"},
    {"a tap's word for the guest", "stream,path=/x,guest=a", "unknown link option 'guest'"},
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
    {"no address at all", "tap,name=a,ip=fd00:::2", "not an address"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        char error[LINK_ERROR_MAX] = "";
        struct link_spec spec = {.ip.family = 77};
        int err = link_spec_parse(refused[i].text, &spec, error);

        if (err != -EINVAL || !strstr(error, refused[i].in_error) || spec.ip.family != 77)
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
        if (netns + 1 <= TAP_NETNS_MAX) {
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
        cmocka_unit_test(test_a_tap_that_is_open),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_specs),
    };

    return cmocka_run_group_tests_name("link_spec", tests, NULL, NULL);
}
