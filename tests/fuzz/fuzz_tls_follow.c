/* A TLS connection, as tests/fuzz/follow_play.h has it; in front of it one byte: how long the first hello was. */
#include "policy/tls_follow.h"

#include "tests/fuzz/follow_play.h"

enum { RECORD_HANDSHAKE = 22 };

struct follower {
    struct tls_follow f;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum follow_step follower_guest(struct follower *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                       struct evidence *out_evidence)
{
    return tls_follow_guest(&f->f, bytes, len, out_len, out_evidence);
}

static void follower_allow(struct follower *f)
{
    tls_follow_allow(&f->f);
}

static int follower_server(struct follower *f, const uint8_t *bytes, size_t len)
{
    tls_follow_server(&f->f, bytes, len);
    return 0;
}

static bool follower_is_to_judge(const struct follower *f, uint8_t next)
{
    return f->f.server != TLS_SERVER_OTHER && f->f.pass == 0 && next == RECORD_HANDSHAKE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t cuts[] = {0, 1, 7};
    struct play first = {.given = 0};

    for (size_t i = 0; i < ARRAY_SIZE(cuts) && size > 0; i++) {
        struct follower f;
        struct play p;

        tls_follow_init(&f.f, data[0]);
        p = play(&f, data + 1, size - 1, cuts[i]);
        if (i == 0)
            first = p;
        play_check_same(&first, &p);
    }
    return 0;
}
