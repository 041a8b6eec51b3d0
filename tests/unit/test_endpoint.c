/*
 * Endpoints as users write them.
 */
#include "cmd/endpoint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static void test_endpoints(void **state)
{
    static const struct {
        const char *text;
        int want;
        const char *host;
        unsigned port;
    } cases[] = {
        {"192.0.2.1", 0, "192.0.2.1", 0},
        {"192.0.2.1:53", 0, "192.0.2.1", 53},
        {"host.example:65535", 0, "host.example", 65535},
        {"2001:db8::1", 0, "2001:db8::1", 0}, /* 1 is no port */
        {"[2001:db8::1]", 0, "2001:db8::1", 0},
        {"[2001:db8::1]:1", 0, "2001:db8::1", 1},
        {"0123456789abcdef", 0, "0123456789abcdef", 0}, /* as long as fits */
        {"0123456789abcdefg", -EINVAL, NULL, 0},
        {"", -EINVAL, NULL, 0},
        {":53", -EINVAL, NULL, 0},
        {"[]:53", -EINVAL, NULL, 0},
        {"[2001:db8::1", -EINVAL, NULL, 0},
        {"[2001:db8::1]53", -EINVAL, NULL, 0},
        {"192.0.2.1:", -ERANGE, NULL, 0},
        {"192.0.2.1:0", -ERANGE, NULL, 0},
        {"192.0.2.1:65536", -ERANGE, NULL, 0},
        {"192.0.2.1:+1", -ERANGE, NULL, 0},
        {"[2001:db8::1]:", -ERANGE, NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char host[17] = "untouched";
        uint16_t port = 7;

        if (endpoint_split(cases[i].text, host, sizeof(host), &port) != cases[i].want)
            fail_msg("'%s'", cases[i].text);
        assert_string_equal(host, cases[i].host ? cases[i].host : "untouched");
        assert_int_equal(port, cases[i].host ? cases[i].port : 7);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
