#include "vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "host/kernel.h"
#include "port.h"

/* A frame that waits for the guest. */
struct arrival {
    struct list node;
    size_t len;
    bool partial;
    uint8_t bytes[];
};

/* A line that is due. */
struct action {
    struct vm *vm;
    const struct line *line;
};

static void wake(void *ctx);

static uint64_t now_us(void)
{
    return kernel_now_us() - KERNEL_START_US;
}

static bool chance(struct vm *vm, double p)
{
    if (p <= 0)
        return false;
    vm->random = vm->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(vm->random >> 11) / (double)(UINT64_C(1) << 53) < p;
}

/* ---- sending ---- */

static struct conversation *talk_of(struct vm *vm, uint16_t port, const struct addr *dst, uint16_t dst_port)
{
    struct conversation *t = &vm->talks[port];

    return addr_equal(&t->dst, dst) && t->dst_port == dst_port ? t : NULL;
}

static void note_sent(struct vm *vm, const struct packet *p)
{
    struct conversation *t = &vm->talks[p->src_port];

    if (p->kind != WIRE_TCP || !(p->flags & WIRE_SYN))
        return;
    if (talk_of(vm, p->src_port, &p->dst, p->dst_port) && t->guest_known && t->guest_isn == p->seq)
        return;
    *t = (struct conversation){.dst = p->dst, .dst_port = p->dst_port, .guest_known = true, .guest_isn = p->seq};
}

void vm_send(struct vm *vm, struct packet *p)
{
    static uint8_t frame[WIRE_FRAME_MAX];
    size_t len;

    if (vm->gone)
        return;
    memcpy(p->src_mac, vm->mac, 6);
    memcpy(p->dst_mac, vm->gateway_mac, 6);
    if (p->dst.family == ADDR_V6 && p->dst.bytes[0] == 0xff) { /* RFC 2464 section 7 */
        memset(p->dst_mac, 0x33, 2);
        memcpy(p->dst_mac + 2, p->dst.bytes + 12, 4);
    }
    note_sent(vm, p);
    len = wire_build(p, frame);
    vm->sent_frames++;
    if (vm->drop_up > 0 && (p->payload_bytes > 0 || vm->drop_any)) {
        vm->drop_up--;
        return;
    }
    if (!chance(vm, vm->loss_up))
        port_push(frame, len, p->gso_size, (uint16_t)(len - p->payload_bytes));
}

/* ---- actions ---- */

static void send_line(struct vm *vm, const struct line *line)
{
    static uint8_t payload[WIRE_FRAME_MAX];
    struct packet_fields f;
    struct packet p;

    if (line_is(line, 1, "raw")) {
        size_t len = word_hex(line, line_word(line, 2), payload, sizeof(payload));

        port_push(payload, len, 0, 0);
        return;
    }
    vm_read_packet(line, 1, &vm->own, &p, &f, payload);
    if (p.kind == WIRE_TCP) {
        struct conversation *t = talk_of(vm, p.src_port, &p.dst, p.dst_port);

        if ((f.rel_seq || f.rel_ack) && (!t || (f.rel_ack && !t->weir_known)))
            line_fail(line, "a relative number, but there was no SYN%s", t ? "-ACK" : "");
        p.seq += f.rel_seq ? t->guest_isn : 0;
        p.ack += f.rel_ack ? t->weir_isn : 0;
    }
    vm_send(vm, &p);
}

static struct conn *conn_of(struct vm *vm, const struct line *line)
{
    struct conn *conn = vm->by_port[word_number(line, line_word(line, 1)) & 0xffff];

    if (!conn)
        line_fail(line, "no connection was opened from this port");
    return conn;
}

static void open_conns(struct vm *vm, const struct line *line)
{
    char *end;
    unsigned long first = strtoul(line_word(line, 1), &end, 10), last = *end == '-' ? strtoul(end + 1, NULL, 10) : first;
    const char *every = line_get(line, 3, "every");
    uint64_t step_us = every ? word_time_us(line, every) : 0, passed_us = now_us() - line->at_us;
    struct addr dst;
    uint16_t dst_port;

    word_endpoint(line, line_word(line, 2), NULL, &dst, &dst_port);
    if (first == 0 || last > 65535 || last < first)
        line_fail(line, "ports are 1 to 65535");
    for (unsigned long port = first; port <= last; port++) {
        if (step_us > 0 && (port - first) * step_us != passed_us)
            continue; /* its own event does it */
        (void)conn_open(vm, (uint16_t)port, &dst, dst_port, line);
    }
}

size_t vm_put_hello(const char *name, uint8_t *out)
{
    static const char random[] = "0123456789abcdef0123456789abcdef";
    size_t n = strcmp(name, "-") == 0 ? 0 : strlen(name), ext = n > 0 ? n + 9 : 0, body = 43 + ext, at = 0;
    const uint8_t head[] = {22, 3, 1, (uint8_t)((body + 4) >> 8), (uint8_t)(body + 4), 1, 0, (uint8_t)(body >> 8),
                            (uint8_t)body, 3, 3};
    const uint8_t tail[] = {0, 0, 2, 0x13, 1, 1, 0, (uint8_t)(ext >> 8), (uint8_t)ext};
    const uint8_t sni[] = {0, 0, 0, (uint8_t)(n + 5), 0, (uint8_t)(n + 3), 0, 0, (uint8_t)n};

    memcpy(out, head, sizeof(head));
    at += sizeof(head);
    memcpy(out + at, random, 32);
    at += 32;
    memcpy(out + at, tail, sizeof(tail));
    at += sizeof(tail);
    if (n == 0)
        return at;
    memcpy(out + at, sni, sizeof(sni));
    memcpy(out + at + sizeof(sni), name, n);
    return at + sizeof(sni) + n;
}

static void send_hello(struct conn *conn, const struct line *line)
{
    uint8_t hello[VM_HELLO_MAX];
    const char *from = line_get(line, 4, "from"), *to = line_get(line, 4, "to");
    size_t n = vm_put_hello(line_word(line, 3), hello), first = from ? word_number(line, from) : 0;

    if (to && word_number(line, to) < n)
        n = word_number(line, to);
    conn_send(conn, hello + first, n - first, 0);
}

static void send_on_conn(struct vm *vm, const struct line *line)
{
    struct conn *conn = conn_of(vm, line);

    if (line_is(line, 2, "pattern"))
        conn_send(conn, NULL, 0, word_number(line, line_word(line, 3)));
    else if (line_is(line, 2, "hello"))
        send_hello(conn, line);
    else if (line_is(line, 2, "hex")) {
        static uint8_t bytes[8192];
        size_t n = word_hex(line, line_word(line, 3), bytes, sizeof(bytes));

        conn_send(conn, bytes, n, 0);
    } else {
        conn_send(conn, line_word(line, 2), line->lens[2], 0);
    }
}

static void set_link(struct vm *vm, const struct line *line)
{
    bool down = line_is(line, 1, "down");

    if (line_is(line, 0, "loss")) {
        const char *seed = line_get(line, 3, "seed");

        *(down ? &vm->loss_down : &vm->loss_up) = strtod(line_word(line, 2), NULL);
        vm->random = seed ? word_number(line, seed) : vm->random;
    } else if (line_is(line, 0, "drop")) {
        *(down ? &vm->drop_down : &vm->drop_up) = (unsigned)word_number(line, line_word(line, 2));
        vm->drop_any = line_has(line, 3, "any");
    } else if (line_is(line, 0, "latency")) {
        vm->latency_us = word_time_us(line, line_word(line, 1));
    } else if (line_is(line, 0, "ring")) {
        vm->ring_max = (unsigned)word_number(line, line_word(line, 1));
    }
}

static void resume(struct vm *vm)
{
    vm->paused = vm->gone = false;
    wake(vm);
}

static void act(struct vm *vm, const struct line *line)
{
    const char *word = line->words[0];

    if (line_is(line, 0, ">"))
        send_line(vm, line);
    else if (line_is(line, 0, "open"))
        open_conns(vm, line);
    else if (line_is(line, 0, "send"))
        send_on_conn(vm, line);
    else if (line_is(line, 0, "fin"))
        conn_fin(conn_of(vm, line));
    else if (line_is(line, 0, "rst"))
        conn_rst(conn_of(vm, line));
    else if (line_is(line, 0, "stop") || line_is(line, 0, "read"))
        conn_read(conn_of(vm, line), *word == 'r');
    else if (line_is(line, 0, "mute"))
        conn_of(vm, line)->muted = true;
    else if (line_is(line, 0, "window"))
        conn_of(vm, line)->fixed_window =
            line_is(line, 2, "auto") ? -1 : (int64_t)word_number(line, line_word(line, 2));
    else if (line_is(line, 0, "pause"))
        vm->paused = true;
    else if (line_is(line, 0, "vanish"))
        vm->gone = true;
    else if (line_is(line, 0, "resume"))
        resume(vm);
    else if (line_is(line, 0, "plug") || line_is(line, 0, "unplug"))
        port_plug(*word == 'p');
    else if (line_is(line, 0, "policy"))
        vm->set_policy(vm->ctx, line_word(line, 1));
    else if (strcmp(word, "loss") == 0 || strcmp(word, "drop") == 0 || strcmp(word, "latency") == 0 ||
             strcmp(word, "ring") == 0)
        set_link(vm, line);
    else if (strcmp(word, "offload") != 0 && strcmp(word, "end") != 0)
        line_fail(line, "'%s' is nothing a guest does", word);
    if (line_is(line, 0, "window") || line_is(line, 0, "send"))
        conn_turn(conn_of(vm, line));
}

static void on_action(void *ctx)
{
    struct action *action = ctx;

    act(action->vm, action->line);
    kernel_free(action);
}

static void schedule(struct vm *vm, const struct line *line, uint64_t at_us)
{
    struct action *action = kernel_alloc(sizeof(*action));

    action->vm = vm;
    action->line = line;
    kernel_at_owned(KERNEL_START_US + at_us, on_action, action);
}

static uint64_t schedule_line(struct vm *vm, const struct line *line)
{
    const char *every = line_is(line, 0, "open") ? line_get(line, 3, "every") : NULL, *dash;
    uint64_t last_us = line->at_us, step_us;

    schedule(vm, line, line->at_us);
    dash = every ? strchr(line_word(line, 1), '-') : NULL;
    if (!dash)
        return last_us;
    step_us = word_time_us(line, every);
    for (unsigned long port = strtoul(line->words[1], NULL, 10); port < strtoul(dash + 1, NULL, 10); port++)
        schedule(vm, line, last_us += step_us);
    return last_us;
}

uint64_t vm_load(struct vm *vm, const char *dir)
{
    uint64_t last_us = 0;

    if (script_read(&vm->script, dir, "guest.txt"))
        for (unsigned i = 0; i < vm->script.count; i++) {
            uint64_t at_us = schedule_line(vm, &vm->script.lines[i]);

            last_us = at_us > last_us ? at_us : last_us;
        }
    else
        last_us = pcap_load(vm, dir);
    return last_us;
}

bool vm_wants_offload(const char *dir)
{
    struct script script;
    bool wanted = false;

    if (!script_read(&script, dir, "guest.txt"))
        return false;
    for (unsigned i = 0; i < script.count; i++)
        wanted = wanted || line_is(&script.lines[i], 0, "offload");
    script_free(&script);
    return wanted;
}

/* ---- receiving ---- */

static void note_received(struct vm *vm, struct packet *p)
{
    struct conversation *t = p->kind == WIRE_TCP ? talk_of(vm, p->dst_port, &p->src, p->src_port) : NULL;

    if (!t)
        return;
    if (p->flags & WIRE_SYN) {
        t->weir_isn = p->seq;
        t->weir_known = true;
    }
    p->tracked = true;
    p->rel_seq = p->seq - (t->weir_known ? t->weir_isn : p->seq);
    p->rel_ack = p->ack - t->guest_isn;
}

/* Router advertisements come when nobody asked: most cases are about what they say themselves. */
static bool is_advertisement(const struct packet *p)
{
    return wire_is_nd(p) && p->type == WIRE_ROUTER_ADVERTISEMENT;
}

static void remember(struct vm *vm, const struct packet *p, const uint8_t *bytes, size_t len)
{
    struct seen *s;

    if (!vm->advertisements && is_advertisement(p))
        return;
    CHECK(vm->seen_count < VM_FRAMES_MAX);
    if (vm->seen_count == vm->seen_cap) {
        vm->seen_cap = vm->seen_cap ? 2 * vm->seen_cap : 256;
        vm->seen = realloc(vm->seen, vm->seen_cap * sizeof(*vm->seen));
        CHECK(vm->seen);
    }
    s = &vm->seen[vm->seen_count++];
    s->packet = *p;
    s->len = len;
    memcpy(s->head, bytes, len < VM_HEAD_BYTES ? len : VM_HEAD_BYTES);
}

bool vm_on_frame(void *ctx, const uint8_t *bytes, size_t len, const struct frame_offload *offload)
{
    struct vm *vm = ctx;
    struct arrival *a;
    struct packet p;

    if (vm->arrived_count >= vm->ring_max) {
        vm->ring_was_full = true;
        return false;
    }
    wire_read(bytes, len, offload->needs_csum, &p);
    p.at_us = now_us();
    p.gso_size = offload->gso_size;
    note_received(vm, &p);
    remember(vm, &p, bytes, len);
    if (vm->drop_down > 0 && (p.payload_bytes > 0 || vm->drop_any)) {
        vm->drop_down--;
        return true;
    }
    if (vm->gone || chance(vm, vm->loss_down))
        return true;
    a = kernel_alloc(sizeof(*a) + len);
    list_init(&a->node);
    a->len = len;
    a->partial = offload->needs_csum;
    memcpy(a->bytes, bytes, len);
    list_append(&vm->arrived, &a->node);
    vm->arrived_count++;
    if (!vm->waking)
        kernel_at(kernel_now_us() + vm->latency_us, wake, vm);
    vm->waking = true;
    return true;
}

static void answer_arp(struct vm *vm, const struct packet *p)
{
    struct packet reply = {.kind = WIRE_ARP, .type = 2, .src = vm->own, .dst = p->src};

    if (p->type == 1 && addr_equal(&p->dst, &vm->own))
        vm_send(vm, &reply);
}

/* RFC 4861 section 7.2.4 */
static void answer_solicitation(struct vm *vm, const struct packet *p)
{
    struct packet reply = {.kind = WIRE_ICMP, .type = WIRE_NEIGHBOUR_ADVERTISEMENT, .src = vm->own, .dst = p->src, .ttl = 255,
                           .nd = {.target = vm->own, .flags = 0x60, .has_mac = true}};

    memcpy(reply.nd.mac, vm->mac, 6);
    if (addr_equal(&p->nd.target, &vm->own))
        vm_send(vm, &reply);
}

static void take(struct vm *vm, const struct arrival *a)
{
    struct conn *conn = NULL;
    struct packet p;

    wire_read(a->bytes, a->len, a->partial, &p);
    if (p.kind == WIRE_TCP)
        conn = vm->by_port[p.dst_port];
    else if (p.kind == WIRE_ICMP && p.quoted.family != ADDR_NONE)
        conn = vm->by_port[p.quoted_src_port];
    if (p.kind == WIRE_ARP)
        answer_arp(vm, &p);
    else if (wire_is_nd(&p) && p.type == WIRE_NEIGHBOUR_SOLICITATION)
        answer_solicitation(vm, &p);
    else if (conn && conn_packet(conn, &p) && list_empty(&conn->due))
        list_append(&vm->due, &conn->due);
}

static void wake(void *ctx)
{
    struct vm *vm = ctx;

    vm->waking = false;
    if (vm->paused || vm->gone)
        return;
    while (!list_empty(&vm->arrived)) {
        struct arrival *a = LIST_ENTRY(list_take_first(&vm->arrived), struct arrival, node);

        vm->arrived_count--;
        take(vm, a);
        kernel_free(a);
    }
    while (!list_empty(&vm->due))
        conn_turn(LIST_ENTRY(list_take_first(&vm->due), struct conn, due));
    if (vm->ring_was_full)
        port_writable();
    vm->ring_was_full = false;
}

/* ---- life ---- */

void vm_init(struct vm *vm, const struct addr *own, const struct addr *gateway, const uint8_t gateway_mac[6])
{
    static const uint8_t mac[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

    memset(vm, 0, sizeof(*vm));
    vm->own = *own;
    vm->gateway = *gateway;
    memcpy(vm->mac, mac, 6);
    memcpy(vm->gateway_mac, gateway_mac, 6);
    vm->latency_us = 100;
    vm->ring_max = VM_RING_FRAMES;
    vm->random = 1;
    list_init(&vm->arrived);
    list_init(&vm->conns);
    list_init(&vm->due);
    vm->by_port = calloc(VM_PORTS, sizeof(*vm->by_port));
    vm->talks = calloc(VM_PORTS, sizeof(*vm->talks));
    CHECK(vm->by_port && vm->talks);
}

void vm_deinit(struct vm *vm)
{
    while (!list_empty(&vm->conns))
        conn_free(LIST_ENTRY(list_take_first(&vm->conns), struct conn, node));
    while (!list_empty(&vm->arrived))
        kernel_free(LIST_ENTRY(list_take_first(&vm->arrived), struct arrival, node));
    free(vm->by_port);
    free(vm->talks);
    free(vm->seen);
    script_free(&vm->script);
}
