/* A connection of HTTP/1, as tests/fuzz/follow_play.h has it. */
#include "policy/http_follow.h"

#include "tests/fuzz/follow_play.h"

struct follower {
    struct http_follow f;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum follow_step follower_guest(struct follower *f, const uint8_t *bytes, size_t len, size_t *out_len,
                                       struct evidence *out_evidence)
{
    return http_follow_guest(&f->f, bytes, len, out_len, out_evidence);
}

static void follower_allow(struct follower *f)
{
    http_follow_allow(&f->f);
}

static int follower_server(struct follower *f, const uint8_t *bytes, size_t len)
{
    return http_follow_server(&f->f, bytes, len);
}

static bool follower_is_to_judge(const struct follower *f, uint8_t next)
{
    (void)next;
    return !f->f.opaque && (f->f.request == HTTP_REQUEST_HEAD || f->f.request == HTTP_REQUEST_UPGRADE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t cuts[] = {0, 1, 7};
    struct play first = {.given = 0};

    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        struct follower f;
        struct play p;

        http_follow_init(&f.f);
        p = play(&f, data, size, cuts[i]);
        CHECK(f.f.asked_count <= HTTP_FOLLOW_PIPELINE_MAX);
        if (i == 0)
            first = p;
        play_check_same(&first, &p);
    }
    return 0;
}
