#include "datapath/record.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/siphash.h"

int record_init(struct record_log *log, int fd, struct counters *counters)
{
    memset(log, 0, sizeof(*log));
    log->fd = fd;
    log->counters = counters;
    if (fd < 0)
        return 0;
    log->buffer = malloc(RECORD_BUFFER_BYTES_MAX);
    log->denials = calloc(RECORD_DENIALS_MAX, sizeof(*log->denials));
    if (!log->buffer || !log->denials) {
        free(log->buffer);
        free(log->denials);
        return -ENOMEM;
    }
    return 0;
}

void record_deinit(struct record_log *log)
{
    if (log->fd >= 0) {
        (void)record_repeats(log, 0, true);
        record_flush(log);
    }
    free(log->buffer);
    free(log->denials);
    log->buffer = NULL;
    log->denials = NULL;
    log->fd = -1;
}

/* Guests and servers make these texts: printable ASCII passes, the rest becomes \xNN, and all of it is cut. */
static void set_text(json_t *object, const char *key, const char *text)
{
    char safe[RECORD_TEXT_MAX + 1];
    size_t at = 0;

    if (!text || !*text)
        return;
    for (; *text && at + 4 < sizeof(safe); text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= 0x20 && c < 0x7f && c != '\\')
            safe[at++] = (char)c;
        else
            at += (size_t)snprintf(safe + at, sizeof(safe) - at, "\\x%02x", c);
    }
    safe[at] = '\0';
    (void)json_object_set_new(object, key, json_string(safe)); /* out of memory: the field is missing */
}

static void set_number(json_t *object, const char *key, uint64_t n)
{
    (void)json_object_set_new(object, key, json_integer((json_int_t)n));
}

static void set_endpoint(json_t *object, const char *key, const struct addr *a, uint16_t port)
{
    char text[ADDR_ENDPOINT_TEXT_MAX];

    if (a->family != ADDR_NONE)
        set_text(object, key, addr_endpoint_format(a, port, text));
}

static void set_time(json_t *object)
{
    struct timespec now;
    struct tm tm;
    char text[40], whole[24];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    (void)strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text, sizeof(text), "%s.%03ldZ", whole, now.tv_nsec / 1000000);
    set_text(object, "ts", text);
}

static json_t *to_json(const struct record *r, uint32_t repeats, uint64_t lost)
{
    static const char *const events[] = {"deny", "close", "dns", "open", "policy"};
    char id[32];
    json_t *o = json_object();

    if (!o)
        return NULL;
    set_number(o, "v", 1);
    set_time(o);
    set_text(o, "ev", events[r->event]);
    if (r->flow) {
        (void)snprintf(id, sizeof(id), "%u:%u", (unsigned)(r->flow >> 32), (unsigned)r->flow);
        set_text(o, "flow", id);
    }
    set_text(o, "guest", r->guest);
    set_text(o, "proto", r->proto);
    set_endpoint(o, "src", &r->src, r->src_port);
    set_endpoint(o, "dst", &r->dst, r->dst_port);
    set_endpoint(o, "peer", &r->peer, r->peer_port);
    set_text(o, "name", r->name);
    set_text(o, "name_src", r->name_src);
    set_text(o, "sni", r->sni);
    set_text(o, "host", r->host);
    set_text(o, "alpn", r->alpn);
    if (r->ech)
        (void)json_object_set_new(o, "ech", json_true());
    if (r->opaque)
        (void)json_object_set_new(o, "opaque", json_true());
    if (r->rule >= 0) {
        set_number(o, "rule", (uint64_t)r->rule + 1);
        set_text(o, "layer", r->layer == POLICY_LAYER_FLOOR ? "floor" : "policy");
    }
    set_text(o, "tag", r->tag);
    set_text(o, "verdict", r->verdict);
    set_text(o, "reason", reason_text(r->reason));
    if (r->would_deny)
        set_text(o, "would", "deny");
    set_text(o, "stage", r->stage);
    if (r->has_bytes) {
        set_number(o, "up", r->up);
        set_number(o, "down", r->down);
        if (r->peer.family != ADDR_NONE)
            set_number(o, "t_dns_ms", r->t_dns_ms);
        set_number(o, "t_peek_ms", r->t_peek_ms);
        set_number(o, "t_dial_ms", r->t_dial_ms);
        set_number(o, "dur_ms", r->dur_ms);
    }
    set_text(o, "close", r->close);
    if (r->event == RECORD_POLICY)
        set_number(o, "cut", r->cut);
    if (repeats > 0)
        set_number(o, "repeat", repeats);
    if (lost > 0)
        set_number(o, "lost", lost);
    return o;
}

/* @o: given away; NULL: no memory for it */
static void append_object(struct record_log *log, json_t *o)
{
    size_t n = 0, room = RECORD_BUFFER_BYTES_MAX - log->len;

    if (o && room > RECORD_LINE_BYTES_MAX)
        n = json_dumpb(o, log->buffer + log->len, RECORD_LINE_BYTES_MAX - 1, JSON_COMPACT);
    json_decref(o);
    if (n == 0 || n > RECORD_LINE_BYTES_MAX - 1) {
        log->lost++;
        counter_bump(log->counters, COUNTER_LOG_LOST);
        return;
    }
    if (log->torn) { /* half a line of before must not swallow this one */
        memmove(log->buffer + log->len + 1, log->buffer + log->len, n);
        log->buffer[log->len++] = '\n';
        log->torn = false;
    }
    log->lost = 0;
    log->len += n;
    log->buffer[log->len++] = '\n';
}

static void append(struct record_log *log, const struct record *r, uint32_t repeats)
{
    append_object(log, to_json(r, repeats, log->lost));
}

/* What no healthy guest makes a link drop. */
static const enum counter drops[] = {
    COUNTER_FRAME_BAD,  COUNTER_FRAME_CSUM, COUNTER_FRAME_ETHERTYPE, COUNTER_SPOOF_SRC, COUNTER_IP_OPTIONS,
    COUNTER_IP_FRAG,    COUNTER_PROTO_L3,   COUNTER_ARP_BAD,         COUNTER_ND_BAD,    COUNTER_DHCP_BAD,
};

uint64_t record_drops(struct record_log *log, uint64_t now_ms)
{
    const struct counters *now = log->counters;
    bool due = log->drops_ms == 0 || now_ms - log->drops_ms >= RECORD_DROPS_MS, some = false;
    json_t *o;

    for (size_t i = 0; log->fd >= 0 && i < ARRAY_SIZE(drops) && !some; i++)
        some = now->n[drops[i]] != log->told.n[drops[i]];
    if (!some)
        return 0;
    if (!due)
        return log->drops_ms + RECORD_DROPS_MS;
    o = json_object();
    if (o) {
        set_number(o, "v", 1);
        set_time(o);
        set_text(o, "ev", "drops");
        for (size_t i = 0; i < ARRAY_SIZE(drops); i++)
            if (now->n[drops[i]] != log->told.n[drops[i]])
                set_number(o, counter_name(drops[i]), now->n[drops[i]] - log->told.n[drops[i]]);
        if (log->lost > 0)
            set_number(o, "lost", log->lost);
    }
    append_object(log, o);
    log->told = *now;
    log->drops_ms = now_ms;
    return 0;
}

static uint64_t digest_of(const struct record *r)
{
    static struct siphash_key key;
    struct {
        struct addr dst, src;
        uint16_t port;
        uint16_t reason;
        int rule;
        int layer;
        char proto[8];
        char name[RECORD_TEXT_MAX + 1];
    } id;

    if (key.k[0] == 0 && key.k[1] == 0)
        siphash_key_random(&key);
    memset(&id, 0, sizeof(id));
    id.dst = r->dst;
    id.src = r->src;
    id.port = r->dst_port;
    id.reason = (uint16_t)r->reason;
    id.rule = r->rule;
    id.layer = (int)r->layer;
    (void)snprintf(id.proto, sizeof(id.proto), "%s", r->proto ? r->proto : "");
    (void)snprintf(id.name, sizeof(id.name), "%s", r->name ? r->name : "");
    return siphash(&key, &id, sizeof(id)) | 1;
}

static void remember(struct record_log *log, struct record_denial *d, const struct record *r, uint64_t digest,
                     uint64_t now_ms)
{
    d->digest = digest;
    d->since_ms = now_ms;
    d->repeats = 0;
    if (log->repeats_due_ms == 0)
        log->repeats_due_ms = now_ms + RECORD_REPEAT_MS;
    d->record = *r;
    (void)snprintf(d->guest, sizeof(d->guest), "%s", r->guest ? r->guest : "");
    (void)snprintf(d->name, sizeof(d->name), "%s", r->name ? r->name : "");
    (void)snprintf(d->proto, sizeof(d->proto), "%s", r->proto ? r->proto : "");
    (void)snprintf(d->stage, sizeof(d->stage), "%s", r->stage ? r->stage : "");
    d->record.flow = 0; /* it stands for many */
    d->record.src_port = 0;
    d->record.has_bytes = false;
    d->record.guest = d->guest;
    d->record.name = d->name;
    d->record.proto = d->proto;
    d->record.stage = d->stage;
    d->record.sni = d->record.host = d->record.alpn = d->record.tag = d->record.close = d->record.name_src = NULL;
}

/* A set of RECORD_DENIALS_MAX slots, four places a denial: one that finds none free is written in full. */
static bool is_repeat(struct record_log *log, const struct record *r, uint64_t now_ms)
{
    uint64_t digest = digest_of(r);
    struct record_denial *room = NULL;

    for (unsigned i = 0; i < 4; i++) {
        struct record_denial *d = &log->denials[(digest + i) % RECORD_DENIALS_MAX];

        if (d->digest == digest) {
            d->repeats++;
            return true;
        }
        if (d->digest == 0 && !room)
            room = d;
    }
    if (room)
        remember(log, room, r, digest, now_ms);
    return false;
}

/* Denials of ever new destinations are written at a bounded rate: a guest must not fill the host's disk. */
static bool take_token(struct record_log *log, uint64_t now_ms)
{
    if (now_ms - log->second_ms >= 1000) {
        log->second_ms = now_ms;
        log->second_lines = 0;
    }
    if (log->second_lines < RECORD_DENIALS_PER_S) {
        log->second_lines++;
        return true;
    }
    log->lost++;
    counter_bump(log->counters, COUNTER_LOG_LOST);
    return false;
}

void record_add(struct record_log *log, const struct record *r, uint64_t now_ms)
{
    if (log->fd < 0)
        return;
    if ((r->event == RECORD_DENY || r->event == RECORD_DNS) && (is_repeat(log, r, now_ms) || !take_token(log, now_ms)))
        return;
    append(log, r, 0);
}

uint64_t record_repeats(struct record_log *log, uint64_t now_ms, bool all)
{
    uint64_t next_ms = 0;

    if (log->fd < 0)
        return 0;
    if (!all && (log->repeats_due_ms == 0 || now_ms < log->repeats_due_ms))
        return log->repeats_due_ms; /* every turn asks: the table is looked at only when something is due */
    for (unsigned i = 0; i < RECORD_DENIALS_MAX; i++) {
        struct record_denial *d = &log->denials[i];
        uint64_t due_ms = d->since_ms + RECORD_REPEAT_MS;

        if (d->digest == 0)
            continue;
        if (!all && due_ms > now_ms) {
            next_ms = next_ms == 0 || due_ms < next_ms ? due_ms : next_ms;
            continue;
        }
        if (d->repeats > 0)
            append(log, &d->record, d->repeats);
        d->digest = 0;
    }
    log->repeats_due_ms = next_ms;
    return next_ms;
}

/* Lines that cannot be written are lost and counted; the file may take the next ones. */
static void lose_rest(struct record_log *log, size_t at)
{
    log->torn = at > 0 && log->buffer[at - 1] != '\n';
    for (size_t i = at; i < log->len; i++) {
        if (log->buffer[i] != '\n')
            continue;
        log->lost++;
        counter_bump(log->counters, COUNTER_LOG_LOST);
    }
    log->len = 0;
}

void record_flush(struct record_log *log)
{
    size_t at = 0;

    if (log->fd < 0 || log->len == 0)
        return;
    while (at < log->len) {
        ssize_t n = write(log->fd, log->buffer + at, log->len - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        at += (size_t)n;
    }
    if (at < log->len && errno != EAGAIN) {
        lose_rest(log, at);
        return;
    }
    memmove(log->buffer, log->buffer + at, log->len - at);
    log->len -= at;
}
