/*
 * lwIP as weir uses it: the TCP and UDP engine and nothing else (docs/architecture.md, "lwIP").
 *
 * ip4_input, ip6_input, etharp, nd6 and icmp are never entered: stack/guest.c parses every frame and calls
 * tcp_input and udp_input itself; netif->output is stack/egress.c. The source is stock.
 */
#ifndef WEIR_STACK_LWIPOPTS_H
#define WEIR_STACK_LWIPOPTS_H

/* One thread, no operating system layer, our own timers. */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_ERRNO_STDINCLUDE 1

/* Several guests, one netif each; which one is known from the pcb, never from a route. */
#define LWIP_SINGLE_NETIF 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0
#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_ICMP 0
#define LWIP_ICMP6 0
#define LWIP_RAW 0
#define LWIP_IGMP 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_SCOPES 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_ND6_ALLOW_RA_UPDATES 0
#define LWIP_ND6_QUEUEING 0
#define LWIP_IPV6_FRAG 0
#define LWIP_IPV6_REASS 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 0

/* egress.c finds the connection of a super-segment through the hint, which lies inside its pcb. */
#define LWIP_NETIF_HWADDRHINT 1

/* Memory: a bounded heap of ours (stack/heap.c); libc is not asked per segment. */
#define MEM_LIBC_MALLOC 0
#define MEM_CUSTOM_ALLOCATOR 1
#define MEM_CUSTOM_MALLOC heap_malloc
#define MEM_CUSTOM_CALLOC heap_calloc
#define MEM_CUSTOM_FREE heap_free
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define PBUF_POOL_SIZE 0
#define LWIP_STATS 0

/* Checksums: verified in stack/frame_l4.c, written in stack/egress.c. */
#define CHECKSUM_CHECK_IP 0
#define CHECKSUM_CHECK_TCP 0
#define CHECKSUM_CHECK_UDP 0
#define CHECKSUM_GEN_TCP 0
#define CHECKSUM_GEN_UDP 0
#define CHECKSUM_GEN_IP 1

/* TCP: super-segments, scaled windows, no Nagle (set per pcb), one listener without backlog. */
#define LWIP_TCP 1
#define TCP_LISTEN_BACKLOG 0
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1 /* TCP_MSS above 16382 trips checks that concern netconn */
#define TCP_MSS 65160
#define TCP_CALCULATE_EFF_SEND_MSS 0 /* no routes; egress.c writes the MSS option */
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 7
#define TCP_WND (4 * 1024 * 1024)      /* the largest grant; stack/tcp_window.c hands out less */
#define TCP_WND_UPDATE_THRESHOLD TCP_WND /* never by itself: stack/tcp_window.c decides */
#define TCP_SND_BUF (2 * 1024 * 1024)
#define TCP_SND_QUEUELEN 2048
#define TCP_SNDLOWAT 1
#define TCP_SNDQUEUELOWAT 1
#define TCP_OVERSIZE 0
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_PBUFS 64
#define TCP_OOSEQ_MAX_BYTES (1024 * 1024)
#define TCP_MSL 1000
#define TCP_SYNMAXRTX 4
#define TCP_MAXRTX 10
#define TCP_DEFAULT_LISTEN_BACKLOG 1
#define LWIP_EVENT_API 0
#define LWIP_CALLBACK_API 1

/* RFC 6528: a keyed hash of the four-tuple and a clock. */
#define LWIP_HOOK_FILENAME "stack/lwip/hooks.h"
#define LWIP_HOOK_TCP_ISN stack_isn

#define LWIP_UDP 1
#define LWIP_UDPLITE 0
#define LWIP_DHCP 0
#define LWIP_DNS 0

#include <stddef.h>

void *heap_malloc(size_t size);
void *heap_calloc(size_t count, size_t size);
void heap_free(void *ptr);

#endif
