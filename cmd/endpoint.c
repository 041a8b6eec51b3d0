#include "cmd/endpoint.h"

#include <errno.h>
#include <string.h>

#include "cmd/setting.h"

int endpoint_split(const char *text, char *out_host, size_t host_size, uint16_t *out_port)
{
    const char *from = text, *to = text + strlen(text), *colon = strchr(text, ':'), *port_text = NULL;
    struct problem ignored;
    uint64_t port = 0;

    if (text[0] == '[') {
        from = text + 1;
        to = strchr(text, ']');
        if (!to || (to[1] != '\0' && to[1] != ':'))
            return -EINVAL;
        port_text = to[1] == ':' ? to + 2 : NULL;
    } else if (colon && !strchr(colon + 1, ':')) {
        to = colon;
        port_text = colon + 1;
    }
    if (to == from || (size_t)(to - from) >= host_size)
        return -EINVAL;
    if (port_text && setting_count(port_text, 1, UINT16_MAX, &port, &ignored) < 0)
        return -ERANGE;
    memcpy(out_host, from, (size_t)(to - from));
    out_host[to - from] = '\0';
    *out_port = (uint16_t)port;
    return 0;
}
