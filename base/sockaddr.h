/*
 * Between weir's addresses and the kernel's.
 */
#ifndef WEIR_BASE_SOCKADDR_H
#define WEIR_BASE_SOCKADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/addr.h"

/** Fill @out for an address of either family. Return: its length. */
socklen_t sockaddr_from(const struct addr *a, uint16_t port, struct sockaddr_storage *out);

/** Return: false for a family other than IPv4 and IPv6. */
bool sockaddr_to(const struct sockaddr_storage *from, struct addr *out_addr, uint16_t *out_port);

#endif
