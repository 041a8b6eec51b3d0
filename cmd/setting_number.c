/*
 * Numbers with units. A number is decimal digits only: no sign, no fraction, no spaces, nothing that strtoul() would
 * forgive.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "cmd/setting.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Return: the length of the digits, or 0 when there are none or the number is beyond 64 bits. */
static size_t digits(const char *text, uint64_t *out)
{
    size_t len = strspn(text, "0123456789");
    uint64_t n = 0;

    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');

        if (n > (UINT64_MAX - digit) / 10)
            return 0;
        n = 10 * n + digit;
    }
    *out = n;
    return len;
}

static int with_unit(const char *text, const struct unit *units, size_t unit_count, const char *hint, uint64_t *out,
                     struct problem *p)
{
    uint64_t n;
    size_t len = digits(text, &n);

    if (len == 0)
        return problem_set(p, hint, "'%s' is not a number", text);
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(text + len, units[i].name) != 0)
            continue;
        if (n > UINT64_MAX / units[i].factor)
            return problem_set(p, hint, "'%s' is too big a number", text);
        *out = n * units[i].factor;
        return 0;
    }
    return problem_set(p, hint, text[len] == '\0' ? "'%s' has no unit" : "'%s' has an unknown unit", text);
}

int setting_count(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct problem *p)
{
    static const struct unit units[] = {{"", 1}};
    uint64_t n = 0;

    if (with_unit(text, units, ARRAY_SIZE(units), "write a plain number", &n, p) < 0)
        return -EINVAL;
    if (n < min || n > max)
        return problem_set(p, "", "%s is out of range: %" PRIu64 " to %" PRIu64, text, min, max);
    *out = n;
    return 0;
}

int setting_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct problem *p)
{
    static const struct unit units[] = {
        {"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
    };
    uint64_t n = 0;

    if (with_unit(text, units, ARRAY_SIZE(units), "write it like 256MiB", &n, p) < 0)
        return -EINVAL;
    if (n < min || n > max)
        return problem_set(p, "", "%s is out of range: %" PRIu64 "KiB to %" PRIu64 "KiB", text, min >> 10, max >> 10);
    *out = n;
    return 0;
}

int setting_time(const char *text, uint64_t min_ms, uint64_t max_ms, uint64_t *out_ms, struct problem *p)
{
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
    uint64_t ms = 0;

    if (strcmp(text, "0") == 0)
        ms = 0;
    else if (with_unit(text, units, ARRAY_SIZE(units), "write it like 10s, 500ms, 5m or 1h", &ms, p) < 0)
        return -EINVAL;
    if (ms < min_ms || ms > max_ms)
        return problem_set(p, "", "%s is out of range: %" PRIu64 "ms to %" PRIu64 "ms", text, min_ms, max_ms);
    *out_ms = ms;
    return 0;
}
