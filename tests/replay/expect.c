/*
 * expect.txt: frames in order, flow records, counters, and how both ends of each connection went. README.md has the language.
 */
#include "case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/counters.h"
#include "host/kernel.h"

enum { TOLERANCE_US = 1000 };

/* ---- numbers: KEY=N KEY<=N KEY>=N KEY<N KEY>N ---- */

static bool holds(uint64_t value, const char *op, uint64_t wanted)
{
    switch (op[0]) {
    case '<':
        return op[1] == '=' ? value <= wanted : value < wanted;
    case '>':
        return op[1] == '=' ? value >= wanted : value > wanted;
    default:
        return value == wanted;
    }
}

/* Check every word about @key; @at has one bit a word: those that were understood. */
static void check_number(struct replay *r, const struct line *line, const char *key, uint64_t value, uint32_t *at)
{
    size_t len = strlen(key);

    for (unsigned i = 0; i < line->count; i++) {
        const char *word = line->words[i], *op = word + len;

        if (line->quoted[i] || strncmp(word, key, len) != 0 || *op == '\0' || !strchr("<>=", *op))
            continue;
        *at |= 1u << i;
        if (!holds(value, op, word_number(line, op + (op[1] == '=' && op[0] != '=' ? 2 : 1))))
            case_fail(r, line, "%s is %llu", key, (unsigned long long)value);
    }
}

static void check_time(struct replay *r, const struct line *line, const char *key, uint64_t value_us, uint32_t *at)
{
    for (unsigned i = 0; i < line->count; i++) {
        const char *word = line->words[i], *tilde = strchr(word, '~');
        char text[32];
        uint64_t wanted_us, tolerance_us = TOLERANCE_US, off_us;

        if (strncmp(word, key, strlen(key)) != 0 || word[strlen(key)] != '=')
            continue;
        *at |= 1u << i;
        (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(word + strlen(key) + 1, "~"), word + strlen(key) + 1);
        wanted_us = word_time_us(line, text);
        if (tilde)
            tolerance_us = word_time_us(line, tilde + 1);
        off_us = value_us > wanted_us ? value_us - wanted_us : wanted_us - value_us;
        if (off_us > tolerance_us)
            case_fail(r, line, "%s is %.6f s", key, (double)value_us / 1e6);
    }
}

static bool check_flag(const struct line *line, const char *word, uint32_t *at)
{
    for (unsigned i = 0; i < line->count; i++)
        if (line_is(line, i, word)) {
            *at |= 1u << i;
            return true;
        }
    return false;
}

static void all_understood(const struct line *line, unsigned from, uint32_t at)
{
    for (unsigned i = from; i < line->count; i++)
        if (!(at & 1u << i))
            line_fail(line, "'%s' is nothing that can be expected here", line->words[i]);
}

/* ---- frames ---- */

struct pattern_packet {
    const struct line *line;
    struct packet packet;
    struct packet_fields fields;
    uint64_t tolerance_us;
    uint8_t *payload; /* owned */
};

static bool same(bool wanted, uint64_t a, uint64_t b)
{
    return !wanted || a == b;
}

static bool places_match(const struct pattern_packet *w, const struct packet *p)
{
    const struct packet_fields *f = &w->fields;

    return (f->any_src || addr_equal(&w->packet.src, &p->src)) && (f->any_dst || addr_equal(&w->packet.dst, &p->dst)) &&
           (f->any_src || f->any_src_port || w->packet.src_port == p->src_port) &&
           (f->any_dst || f->any_dst_port || w->packet.dst_port == p->dst_port);
}

static bool payload_matches(const struct pattern_packet *w, const struct seen *s)
{
    size_t n = w->packet.payload_bytes, shown;

    if (!w->fields.payload)
        return true;
    if (n != s->packet.payload_bytes)
        return false;
    shown = s->len < VM_HEAD_BYTES ? n : VM_HEAD_BYTES - (s->len - n);
    return memcmp(w->packet.payload, s->head + (s->len - n), shown) == 0;
}

/* Of a DNS answer: rcode=N answers=N. */
static bool dns_matches(const struct line *line, const struct packet *p)
{
    const char *rcode = line_get(line, 3, "rcode"), *answers = line_get(line, 3, "answers");

    if (!rcode && !answers)
        return true;
    return p->payload_bytes >= 12 && (!rcode || word_number(line, rcode) == (p->payload[3] & 15u)) &&
           (!answers || word_number(line, answers) == (uint64_t)(p->payload[6] << 8 | p->payload[7]));
}

static bool nd_matches(const struct packet_fields *f, const struct wire_nd_fields *a, const struct wire_nd_fields *b)
{
    return (!f->target || addr_equal(&a->target, &b->target)) && (!f->mac || (b->has_mac && memcmp(a->mac, b->mac, 6) == 0)) &&
           same(f->nd_flags, a->flags, b->flags) && same(f->hops, a->hop_limit, b->hop_limit) &&
           same(f->lifetime, a->lifetime_s, b->lifetime_s) &&
           (!f->prefix || (a->prefix.bits == b->prefix.bits && addr_equal(&a->prefix.base, &b->prefix.base))) &&
           same(f->prefix_flags, a->prefix_flags, b->prefix_flags) && same(f->mtu, a->mtu, b->mtu) &&
           (!f->resolver || addr_equal(&a->resolver, &b->resolver));
}

static bool packet_matches(const struct pattern_packet *w, const struct seen *s)
{
    const struct packet *a = &w->packet, *b = &s->packet;
    const struct packet_fields *f = &w->fields;

    if (a->kind != b->kind || !places_match(w, b) || !b->sums_ok)
        return false;
    if (a->kind == WIRE_TCP &&
        !((f->any_flags || (a->flags & ~WIRE_PSH) == (b->flags & ~WIRE_PSH)) &&
          same(f->seq, a->seq, f->rel_seq ? b->rel_seq : b->seq) && same(f->ack, a->ack, f->rel_ack ? b->rel_ack : b->ack) &&
          same(f->window, a->window, b->window) && same(f->mss, a->mss, b->mss) &&
          same(f->wscale, (uint64_t)a->wscale, (uint64_t)b->wscale) && (!f->no_wscale || b->wscale < 0) &&
          (!f->sack_permitted || b->sack_permitted)))
        return false;
    return same(f->type, a->type, b->type) && same(f->code, a->code, b->code) && same(f->ttl, a->ttl, b->ttl) &&
           (!f->about || (addr_equal(&a->quoted, &b->quoted) && a->quoted_port == b->quoted_port)) &&
           same(f->len, a->payload_bytes, b->payload_bytes) && payload_matches(w, s) && dns_matches(w->line, b) &&
           nd_matches(f, &a->nd, &b->nd);
}

static bool time_matches(const struct pattern_packet *w, const struct packet *p)
{
    uint64_t a = w->line->at_us, b = p->at_us;

    return !w->line->timed || (a > b ? a - b : b - a) <= w->tolerance_us;
}

static struct pattern_packet read_pattern(const struct replay *r, const struct line *line, unsigned at)
{
    struct pattern_packet w = {.line = line, .tolerance_us = TOLERANCE_US, .payload = malloc(WIRE_FRAME_MAX)};

    CHECK(w.payload);
    vm_read_packet(line, at, &r->vm.own, &w.packet, &w.fields, w.payload);
    for (unsigned i = at; i < line->count; i++)
        if (line->words[i][0] == '~' && !line->quoted[i])
            w.tolerance_us = word_time_us(line, line->words[i] + 1);
    return w;
}

static void fail_frame(struct replay *r, const struct line *line, size_t next)
{
    char text[WIRE_TEXT_MAX];

    if (next < r->vm.seen_count)
        case_fail(r, line, "the next frame of weir's is another:\n    %11.6f < %s",
                  (double)r->vm.seen[next].packet.at_us / 1e6, wire_format(&r->vm.seen[next].packet, text));
    else
        case_fail(r, line, "weir sent no such frame, and %zu in all", r->vm.seen_count);
}

/* "frames some": those that are written must come, in order; others may come between. "all", the default: no others. */
static void check_frames(struct replay *r, bool all)
{
    bool any = false;
    size_t next = 0;

    for (unsigned i = 0; i < r->expect.count; i++) {
        const struct line *line = &r->expect.lines[i];
        struct pattern_packet w;
        size_t at = next;

        if (!line_is(line, 0, "<"))
            continue;
        any = true;
        w = read_pattern(r, line, 1);
        while (!all && at < r->vm.seen_count &&
               !(packet_matches(&w, &r->vm.seen[at]) && time_matches(&w, &r->vm.seen[at].packet)))
            at++;
        if (at < r->vm.seen_count && packet_matches(&w, &r->vm.seen[at]) && time_matches(&w, &r->vm.seen[at].packet))
            next = at + 1;
        else
            fail_frame(r, line, next);
        free(w.payload);
        if (r->failures > 0)
            return;
    }
    if (all && any && next < r->vm.seen_count) {
        char text[WIRE_TEXT_MAX];

        r->failures++;
        (void)fprintf(stderr, "%s: weir sent %zu frames more than expected; the first:\n    %11.6f < %s\n", r->expect.path,
                      r->vm.seen_count - next, (double)r->vm.seen[next].packet.at_us / 1e6,
                      wire_format(&r->vm.seen[next].packet, text));
    }
}

static void check_never(struct replay *r, const struct line *line)
{
    struct pattern_packet w = read_pattern(r, line, 2);

    for (size_t i = 0; i < r->vm.seen_count; i++)
        if (packet_matches(&w, &r->vm.seen[i])) {
            char text[WIRE_TEXT_MAX];

            case_fail(r, line, "there was one:\n    %11.6f < %s", (double)r->vm.seen[i].packet.at_us / 1e6,
                      wire_format(&r->vm.seen[i].packet, text));
            break;
        }
    free(w.payload);
}

/* ---- records ---- */

static bool is_subset(const json_t *part, const json_t *whole)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)part, key, value) {
        const json_t *other = json_object_get(whole, key);

        if (json_is_null(value) ? other != NULL : !json_equal(value, other))
            return false;
    }
    return true;
}

static void check_record(struct replay *r, const struct line *line, bool wanted)
{
    const char *text = strchr(line->text, '{');
    json_t *part = text ? json_loads(text, JSON_DISABLE_EOF_CHECK, NULL) : NULL, *o;
    const char *count = line_get(line, 1, "times");
    unsigned found = 0, times = count ? (unsigned)word_number(line, count) : 1;
    size_t i;

    if (!part)
        line_fail(line, "this is no JSON object");
    json_array_foreach(r->records, i, o)
        found += is_subset(part, o);
    if (wanted && (count ? found != times : found == 0))
        case_fail(r, line, "%u records are so", found);
    if (!wanted && found > 0)
        case_fail(r, line, "%u records are so", found);
    json_decref(part);
}

/* ---- counters ---- */

static void check_counter(struct replay *r, const struct line *line)
{
    const char *name = line_word(line, 1), *op = line_word(line, 2);

    for (unsigned c = 0; c < COUNTER_COUNT; c++) {
        uint64_t n = r->instance->counters.n[c];

        if (strcmp(counter_name((enum counter)c), name) != 0)
            continue;
        if (!holds(n, op, word_number(line, line_word(line, 3))))
            case_fail(r, line, "%s is %llu", name, (unsigned long long)n);
        return;
    }
    line_fail(line, "there is no counter '%s'", name);
}

/* ---- the guest's connections ---- */

static void check_text(struct replay *r, const struct line *line, const uint8_t *text, uint64_t got, uint32_t *at)
{
    for (unsigned i = 0; i < line->count; i++) {
        if (!line->quoted[i])
            continue;
        *at |= 1u << i;
        if (got < line->lens[i] || memcmp(text, line->words[i], line->lens[i]) != 0)
            case_fail(r, line, "it received %llu other bytes: \"%.*s\"", (unsigned long long)got,
                      (int)(got < 200 ? got : 200), (const char *)text);
    }
}

static void check_state(struct replay *r, const struct line *line, const char *state, uint32_t *at)
{
    for (unsigned i = 0; i < line->count; i++) {
        if (line->quoted[i] || strncmp(line->words[i], "state=", 6) != 0)
            continue;
        *at |= 1u << i;
        if (strcmp(line->words[i] + 6, state) != 0)
            case_fail(r, line, "its state is %s", state);
    }
}

static void check_conn(struct replay *r, const struct line *line, const struct conn *c)
{
    uint32_t at = 0;

    check_state(r, line, conn_state_name(c->state), &at);
    check_number(r, line, "received", c->got, &at);
    check_number(r, line, "acked", c->acked, &at);
    check_number(r, line, "resent", c->resent, &at);
    check_number(r, line, "duplicates", c->duplicates_seen, &at);
    check_time(r, line, "at", c->changed_us - c->opened_us, &at);
    check_time(r, line, "fin-at", c->fin_us, &at);
    check_time(r, line, "last-at", c->last_us, &at);
    check_text(r, line, c->text, c->got, &at);
    if (check_flag(line, "pattern", &at) && c->pattern_bad)
        case_fail(r, line, "bytes of the pattern are wrong");
    if (check_flag(line, "fin", &at) && !c->fin_got)
        case_fail(r, line, "there was no FIN");
    if (check_flag(line, "nofin", &at) && c->fin_seen)
        case_fail(r, line, "there was a FIN");
    if (check_flag(line, "finished", &at) && !c->fin_acked)
        case_fail(r, line, "its own FIN was not acknowledged");
    all_understood(line, 2, at);
}

static void check_conns(struct replay *r, const struct line *line)
{
    char *end;
    unsigned long first = strtoul(line_word(line, 1), &end, 10), last = *end == '-' ? strtoul(end + 1, NULL, 10) : first;

    for (unsigned long port = first; port <= last && port < VM_PORTS; port++) {
        unsigned before = r->failures;

        if (!r->vm.by_port[port])
            line_fail(line, "no connection was opened from port %lu", port);
        check_conn(r, line, r->vm.by_port[port]);
        if (r->failures > before) {
            (void)fprintf(stderr, "    (port %lu)\n", port);
            return;
        }
    }
}

/* ---- the host side ---- */

static struct service *service_of(struct replay *r, const struct line *line)
{
    struct addr addr;
    uint16_t port;
    struct service *s;

    word_endpoint(line, line_word(line, 1), NULL, &addr, &port);
    s = peers_service(&r->peers, line_is(line, 0, "datagrams") ? SERVICE_UDP : SERVICE_TCP, &addr, port);
    if (!s)
        line_fail(line, "host.txt has no such service");
    return s;
}

static void check_host(struct replay *r, const struct line *line)
{
    static const char *const ends[] = {"open", "fin", "rst"};
    const struct service *s = service_of(r, line);
    bool nth = line->count > 2 && line->words[2][0] == '@';
    const struct peer *p = peers_nth(s, nth ? (unsigned)word_number(line, line->words[2] + 1) : 1);
    uint32_t at = nth ? 1u << 2 : 0;

    check_number(r, line, "connects", s->connects, &at);
    if (at != (nth ? 1u << 2 : 0) && line->count == 3)
        return;
    if (!p) {
        case_fail(r, line, "there was no such connection");
        return;
    }
    check_number(r, line, "received", p->got, &at);
    check_number(r, line, "held", p->held_bytes, &at);
    check_number(r, line, "unread", p->pending + (p->sock ? p->sock->in_bytes : 0), &at);
    check_number(r, line, "keepidle", p->sock ? (uint64_t)p->sock->keep_idle_s : 0, &at);
    check_number(r, line, "keepintvl", p->sock ? (uint64_t)p->sock->keep_interval_s : 0, &at);
    check_number(r, line, "keepcnt", p->sock ? (uint64_t)p->sock->keep_count : 0, &at);
    check_state(r, line, ends[p->end], &at);
    check_time(r, line, "end-at", p->end_us, &at);
    check_text(r, line, p->text, p->got, &at);
    if (check_flag(line, "pattern", &at) && p->pattern_bad)
        case_fail(r, line, "bytes of the pattern are wrong");
    all_understood(line, 2, at);
}

static void check_datagrams(struct replay *r, const struct line *line)
{
    const struct service *s = service_of(r, line);
    uint32_t at = 0;

    check_number(r, line, "count", s->datagrams, &at);
    check_number(r, line, "bytes", s->datagram_bytes, &at);
    check_number(r, line, "sockets", s->socks, &at);
    all_understood(line, 2, at);
}

/* ISNs of all connections so far (RFC 9293 section 3.4.1): different, and no constant step apart. */
static void check_isns(struct replay *r, const struct line *line)
{
    uint64_t least = word_number(line, line_word(line, 1)), count = 0;
    uint32_t last = 0, step = 0;
    bool constant = true;

    for (unsigned i = 0; i < VM_PORTS; i++) {
        const struct conversation *t = &r->vm.talks[i];

        if (!t->weir_known)
            continue;
        for (unsigned j = 0; j < i; j++)
            if (r->vm.talks[j].weir_known && r->vm.talks[j].weir_isn == t->weir_isn)
                case_fail(r, line, "ports %u and %u got the same number", j, i);
        if (count > 1 && t->weir_isn - last != step)
            constant = false;
        step = t->weir_isn - last;
        last = t->weir_isn;
        count++;
    }
    if (count < least || constant)
        case_fail(r, line, "%llu numbers%s", (unsigned long long)count, constant ? ", a constant step apart" : "");
}

static void check_other(struct replay *r, const struct line *line)
{
    uint32_t at = 1;

    if (line_is(line, 0, "records")) {
        check_number(r, line, "count", json_array_size(r->records), &at);
    } else if (line_is(line, 0, "fds")) {
        check_number(r, line, "now", kernel_fds(), &at);
        check_number(r, line, "most", kernel_fds_most(), &at);
    } else if (line_is(line, 0, "memory")) {
        check_number(r, line, "pool", r->instance->pool.bytes_used, &at);
        check_number(r, line, "flows", r->instance->flows.live, &at);
    } else if (line_is(line, 0, "strangers")) {
        check_number(r, line, "count", r->peers.unknown, &at);
    } else {
        line_fail(line, "'%s' is nothing that can be expected", line->words[0]);
    }
    all_understood(line, 1, at);
}

static void check_line(struct replay *r, const struct line *line)
{
    if (line_is(line, 0, "record"))
        check_record(r, line, true);
    else if (line_is(line, 0, "no") && line_is(line, 1, "record"))
        check_record(r, line, false);
    else if (line_is(line, 0, "never") && line_is(line, 1, "<"))
        check_never(r, line);
    else if (line_is(line, 0, "counter"))
        check_counter(r, line);
    else if (line_is(line, 0, "conn"))
        check_conns(r, line);
    else if (line_is(line, 0, "host"))
        check_host(r, line);
    else if (line_is(line, 0, "datagrams"))
        check_datagrams(r, line);
    else if (line_is(line, 0, "isns"))
        check_isns(r, line);
    else if (!line_is(line, 0, "<") && !line_is(line, 0, "frames") && !line_is(line, 0, "end") && !line_is(line, 0, "family"))
        check_other(r, line);
}

void expect_check(struct replay *r)
{
    bool all = true;

    for (size_t i = 0; i < r->vm.seen_count; i++) { /* where they are now, and as much of them as was kept */
        struct seen *s = &r->vm.seen[i];

        s->packet.payload = s->head + (s->len - s->packet.payload_bytes < VM_HEAD_BYTES ? s->len - s->packet.payload_bytes : 0);
    }

    for (unsigned i = 0; i < r->expect.count; i++)
        if (line_is(&r->expect.lines[i], 0, "frames"))
            all = !line_is(&r->expect.lines[i], 1, "some");
    check_frames(r, all);
    for (unsigned i = 0; i < r->expect.count; i++)
        check_line(r, &r->expect.lines[i]);
}
