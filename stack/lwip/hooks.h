/* What lwIP calls back into by name (lwipopts.h). */
#ifndef WEIR_STACK_LWIP_HOOKS_H
#define WEIR_STACK_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

/** Initial sequence number of a connection (RFC 6528 section 3); stack/stack.c. */
u32_t stack_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
                u16_t remote_port);

#endif
