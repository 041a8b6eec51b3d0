/*
 * Captures: guest.pcap or guest.pcapng as what the guest sends, and weir's frames as a file for a packet analyser.
 *
 * Frames with the gateway's source address are weir's own of the time of the capture: they are not sent. Sequence numbers of weir's are
 * others in every run, so acknowledgements and SACK blocks of the guest's are moved by the difference.
 */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "host/kernel.h"
#include "port.h"
#include "vm.h"

struct captured {
    struct vm *vm;
    size_t len;
    uint8_t bytes[];
};

static void on_captured(void *ctx)
{
    struct captured *c = ctx;
    struct packet p;

    wire_read(c->bytes, c->len, true, &p);
    if (p.kind == WIRE_TCP) {
        struct conversation *t = &c->vm->talks[p.src_port];
        uint32_t moved;

        p.ttl = p.ttl ? p.ttl : 64;
        if (t->guest_known && !t->captured_known && p.flags & WIRE_ACK && !(p.flags & WIRE_SYN)) {
            t->captured_isn = p.ack - 1;
            t->captured_known = true;
        }
        moved = t->captured_known && t->weir_known ? t->weir_isn - t->captured_isn : 0;
        p.ack += p.flags & WIRE_ACK ? moved : 0;
        for (unsigned i = 0; i < 2 * p.sack_count; i++)
            p.sacks[i] += moved;
        vm_send(c->vm, &p);
    } else {
        port_push(c->bytes, c->len, 0, 0);
    }
    kernel_free(c);
}

static pcap_t *open_capture(const char *dir, char *path, size_t room)
{
    static const char *const names[] = {"guest.pcap", "guest.pcapng"};
    char error[PCAP_ERRBUF_SIZE];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        pcap_t *pcap;

        (void)snprintf(path, room, "%s/%s", dir, names[i]);
        if (access(path, R_OK) < 0)
            continue;
        pcap = pcap_open_offline(path, error);
        if (pcap && pcap_datalink(pcap) == DLT_EN10MB)
            return pcap;
        (void)fprintf(stderr, "%s: %s\n", path, pcap ? "not a capture of Ethernet frames" : error);
        exit(2);
    }
    return NULL;
}

uint64_t pcap_load(struct vm *vm, const char *dir)
{
    struct pcap_pkthdr *head;
    const uint8_t *bytes;
    uint64_t first_us = 0, at_us = 0;
    char path[4096];
    pcap_t *pcap = open_capture(dir, path, sizeof(path));

    while (pcap && pcap_next_ex(pcap, &head, &bytes) == 1) {
        uint64_t us = (uint64_t)head->ts.tv_sec * 1000000 + (uint64_t)head->ts.tv_usec;
        struct captured *c;

        if (first_us == 0)
            first_us = us;
        if (head->caplen < head->len || head->caplen < FRAME_ETH_BYTES || memcmp(bytes + 6, vm->gateway_mac, 6) == 0)
            continue;
        at_us = us > first_us ? us - first_us : 0;
        c = kernel_alloc(sizeof(*c) + head->caplen);
        c->vm = vm;
        c->len = head->caplen;
        memcpy(c->bytes, bytes, head->caplen);
        kernel_at_owned(KERNEL_START_US + at_us, on_captured, c);
    }
    if (pcap)
        pcap_close(pcap);
    return at_us;
}

bool vm_write_pcap(const struct vm *vm, const char *path)
{
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, VM_HEAD_BYTES);
    pcap_dumper_t *dump = pcap ? pcap_dump_open(pcap, path) : NULL;

    for (size_t i = 0; dump && i < vm->seen_count; i++) {
        const struct seen *s = &vm->seen[i];
        struct pcap_pkthdr head = {
            .ts = {.tv_sec = (time_t)(KERNEL_WALL_S + (int64_t)(s->packet.at_us / 1000000)),
                   .tv_usec = (suseconds_t)(s->packet.at_us % 1000000)},
            .caplen = (bpf_u_int32)(s->len < VM_HEAD_BYTES ? s->len : VM_HEAD_BYTES),
            .len = (bpf_u_int32)s->len,
        };

        pcap_dump((u_char *)dump, &head, s->head);
    }
    if (dump)
        pcap_dump_close(dump);
    if (pcap)
        pcap_close(pcap);
    return dump != NULL;
}
