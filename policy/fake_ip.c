#include "policy/fake_ip.h"

#include <errno.h>
#include <string.h>

static const uint32_t pool4 = UINT32_C(198) << 24 | UINT32_C(18) << 16;
static const uint8_t pool6[8] = {0xfd, 0x77, 0x65, 0x69, 0x72, 0x65, 0x66, 0x61};

bool fake_ip_is(const struct addr *a)
{
    if (a->family == ADDR_V4)
        return (addr_to_v4(a) & ~(uint32_t)(FAKE_IP_COUNT - 1)) == pool4;
    return a->family == ADDR_V6 && memcmp(a->bytes, pool6, sizeof(pool6)) == 0;
}

static struct addr address_of(enum addr_family family, uint32_t number)
{
    uint8_t bytes[16] = {0};

    if (family == ADDR_V4)
        return addr_v4(pool4 + number);
    memcpy(bytes, pool6, sizeof(pool6));
    bytes[13] = (uint8_t)(number >> 16);
    bytes[14] = (uint8_t)(number >> 8);
    bytes[15] = (uint8_t)number;
    return addr_from_v6(bytes);
}

int fake_ip_pick(const struct siphash_key *key, const struct pins *pins, const char *name, enum addr_family family,
                 uint64_t now_ms, struct addr *out_addr)
{
    uint32_t start = (uint32_t)siphash(key, name, strlen(name));

    for (uint32_t i = 0; i < FAKE_IP_PROBES_MAX; i++) {
        uint32_t number = (start + i) % FAKE_IP_COUNT;
        struct addr a = address_of(family, number);
        const char *other;

        if (number == 0 || number == FAKE_IP_COUNT - 1) /* what some take for a network's own, and its broadcast */
            continue;
        if (pins_names_of(pins, &a, now_ms, &other, 1) > 0 && strcmp(other, name) != 0)
            continue;
        *out_addr = a;
        return 0;
    }
    return -ENOSPC;
}
