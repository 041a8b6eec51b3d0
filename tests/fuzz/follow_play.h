/*
 * What the fuzz targets of followers share. The input is a connection: pieces of a side (odd: the server's), a length in
 * two bytes, and bytes. It is played three times, with the pieces as they are and cut in two ways; what was judged, what
 * passed and how it ended must be the same. A name that begins with 'e' is denied: nothing of it passes, and it is over.
 * Never more passes than there is, and never what is still to be judged.
 */
#ifndef WEIR_TESTS_FOLLOW_PLAY_H
#define WEIR_TESTS_FOLLOW_PLAY_H

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "policy/evidence.h"
#include "policy/follow.h"

/* Each target's: */
struct follower;
static enum follow_step follower_guest(struct follower *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                       struct evidence *out_evidence);
static void follower_allow(struct follower *f);
static int follower_server(struct follower *f, const uint8_t *bytes, size_t len);
static bool follower_is_to_judge(const struct follower *f, uint8_t next); /* whether it begins with that byte */

enum play_end { PLAY_RESTS, PLAY_DENIED, PLAY_UNREADABLE };

struct play {
    size_t given, passed; /* of the guest's bytes */
    uint64_t judged;      /* a hash of names and where they were */
    enum follow_step last;
    enum play_end end;
};

static void play_judge(struct play *p, const struct evidence *e, size_t head)
{
    CHECK(e->kind == EVIDENCE_TLS || e->kind == EVIDENCE_HTTP);
    CHECK(head > 0 && head <= p->given - p->passed);
    p->judged = p->judged * 31 + p->passed * 7 + head;
    for (const char *c = e->name; *c; c++)
        p->judged = p->judged * 31 + (uint8_t)*c;
}

/* What of the guest's bytes may pass now does. @exact: in an allocation of its size, for the sanitizer. */
static void play_guest(struct follower *f, struct play *p, const uint8_t *all, bool exact)
{
    for (;;) {
        size_t left = p->given - p->passed, n = 0, again = 0;
        uint8_t *copy = exact ? malloc(left + 1) : NULL;
        const uint8_t *bytes = copy ? copy + 1 : all + p->passed;
        bool is_to_judge = left > 0 && follower_is_to_judge(f, all[p->passed]);
        struct evidence e = {.kind = EVIDENCE_UNKNOWN};

        if (copy)
            memcpy(copy + 1, all + p->passed, left);
        p->last = follower_guest(f, bytes, left, &n, &e);
        CHECK(!is_to_judge || p->last != FOLLOW_PASS);
        CHECK((e.kind == EVIDENCE_BAD) == (p->last == FOLLOW_BAD));
        if (p->last == FOLLOW_JUDGE) {
            play_judge(p, &e, n);
            CHECK(follower_guest(f, bytes, left, &again, &e) == FOLLOW_JUDGE && again == n);
            p->end = e.name[0] == 'e' ? PLAY_DENIED : PLAY_RESTS;
        }
        free(copy);
        if (p->last == FOLLOW_JUDGE && p->end != PLAY_DENIED) {
            follower_allow(f);
        } else if (p->last == FOLLOW_PASS) {
            CHECK(n > 0 && n <= left);
            p->passed += n;
        } else {
            return;
        }
    }
}

/* @cut: bytes at a time; 0: pieces as they are */
static struct play play(struct follower *f, const uint8_t *data, size_t size, size_t cut)
{
    struct play p = {.last = FOLLOW_MORE};
    struct cursor c = cursor_of(data, size), piece;
    uint8_t *all = malloc(size + 1), side;
    uint16_t len;

    CHECK(all);
    while (p.end == PLAY_RESTS && cursor_u8(&c, &side) && cursor_u16(&c, &len) && cursor_sub(&c, len, &piece)) {
        for (size_t at = 0, n; at < len && p.end == PLAY_RESTS; at += n) {
            n = cut > 0 && len - at > cut ? cut : len - at;
            if (side % 2 == 1) {
                p.end = follower_server(f, piece.at + at, n) < 0 ? PLAY_UNREADABLE : PLAY_RESTS;
                continue;
            }
            memcpy(all + p.given, piece.at + at, n);
            p.given += n;
            play_guest(f, &p, all, cut == 0);
        }
        if (side % 2 == 1 && p.end == PLAY_RESTS) /* what the server said may let something pass */
            play_guest(f, &p, all, cut == 0);
    }
    free(all);
    return p;
}

static void play_check_same(const struct play *a, const struct play *b)
{
    CHECK(a->end == b->end && a->judged == b->judged && a->passed == b->passed);
    CHECK(a->end != PLAY_RESTS || a->last == b->last);
}

#endif
