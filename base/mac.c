#include "base/mac.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int mac_parse(const char *text, uint8_t out_mac[static MAC_BYTES])
{
    uint8_t mac[MAC_BYTES];

    if (strlen(text) != MAC_TEXT_MAX - 1)
        return -EINVAL;
    for (unsigned i = 0; i < MAC_BYTES; i++) {
        int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);

        if (high < 0 || low < 0 || (i + 1 < MAC_BYTES && text[3 * i + 2] != ':'))
            return -EINVAL;
        mac[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out_mac, mac, sizeof(mac));
    return 0;
}

char *mac_format(const uint8_t mac[static MAC_BYTES], char out[static MAC_TEXT_MAX])
{
    (void)snprintf(out, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    return out;
}
