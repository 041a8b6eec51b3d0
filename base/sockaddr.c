#include "base/sockaddr.h"

#include <netinet/in.h>
#include <string.h>

#include "base/check.h"

socklen_t sockaddr_from(const struct addr *a, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (a->family == ADDR_V4) {
        struct sockaddr_in *sin = (void *)out;

        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        memcpy(&sin->sin_addr, a->bytes, 4);
        return sizeof(*sin);
    }
    CHECK(a->family == ADDR_V6);
    struct sockaddr_in6 *sin6 = (void *)out;

    sin6->sin6_family = AF_INET6;
    sin6->sin6_port = htons(port);
    memcpy(&sin6->sin6_addr, a->bytes, 16);
    return sizeof(*sin6);
}

bool sockaddr_to(const struct sockaddr_storage *from, struct addr *out_addr, uint16_t *out_port)
{
    const struct sockaddr_in *sin = (const void *)from;
    const struct sockaddr_in6 *sin6 = (const void *)from;

    if (from->ss_family == AF_INET) {
        *out_addr = addr_from_v4((const uint8_t *)&sin->sin_addr);
        *out_port = ntohs(sin->sin_port);
        return true;
    }
    if (from->ss_family == AF_INET6) {
        *out_addr = addr_from_v6((const uint8_t *)&sin6->sin6_addr);
        *out_port = ntohs(sin6->sin6_port);
        return true;
    }
    return false;
}
