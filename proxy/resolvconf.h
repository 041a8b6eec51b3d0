/*
 * The host's resolvers, from resolv.conf(5).
 */
#ifndef WEIR_PROXY_RESOLVCONF_H
#define WEIR_PROXY_RESOLVCONF_H

#include <stddef.h>

#include "base/addr.h"

enum { RESOLVCONF_SERVERS_MAX = 8, RESOLVCONF_BYTES_MAX = 64 * 1024 };

/**
 * Take the `nameserver` lines of a resolv.conf text.
 *
 * Lines that cannot be read are skipped, as libc does; a scope ("%eth0") makes an address unreadable.
 *
 * Return: how many addresses were found, at most RESOLVCONF_SERVERS_MAX.
 */
size_t resolvconf_parse(const char *text, size_t len,
                        struct addr out_servers[static RESOLVCONF_SERVERS_MAX]);

/** Read a file of that form. Return: count, or -errno. */
int resolvconf_read(const char *path, struct addr out_servers[static RESOLVCONF_SERVERS_MAX]);

#endif
