/*
 * Endpoints as users write them: HOST, HOST:PORT or [V6]:PORT; an IPv6 address without brackets has no port.
 */
#ifndef WEIR_CMD_ENDPOINT_H
#define WEIR_CMD_ENDPOINT_H

#include <stddef.h>
#include <stdint.h>

/**
 * Cut an endpoint in two. What the host is, a name or an address, is not looked at.
 *
 * @out_host: without brackets
 * @out_port: 0 when none was written
 *
 * Return: 0; -EINVAL when it is no endpoint, or the host does not fit @host_size; -ERANGE when the port is not 1 to
 * 65535.
 */
int endpoint_split(const char *text, char *out_host, size_t host_size, uint16_t *out_port);

#endif
