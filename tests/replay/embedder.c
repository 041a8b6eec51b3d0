#include "embedder.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "host/kernel.h"

struct answer_later {
    struct embedder *embedder;
    uint64_t token;
    enum decide_answer answer;
    bool twice;
};

static void on_later(void *ctx)
{
    struct answer_later *a = ctx;

    CHECK(instance_resume(a->embedder->instance, a->token, a->answer) == (a->answer == DECIDE_PENDING ? -EINVAL : 0));
    if (a->twice) /* an embedder that is wrong about what it has said */
        CHECK(instance_resume(a->embedder->instance, a->token,
                              a->answer == DECIDE_ALLOW ? DECIDE_DENY : DECIDE_ALLOW) == 0);
    kernel_free(a);
}

static bool is_stage(const struct line *line, enum decide_stage stage)
{
    return line_is(line, 0, stage == DECIDE_DNS ? "dns" : stage == DECIDE_OPEN ? "open" : "bytes");
}

static bool is_about(const struct line *line, const struct decide_facts *facts)
{
    const char *who = line_word(line, 1), *by = line_get(line, 3, "by"), *guest = line_get(line, 3, "guest");
    char endpoint[ADDR_ENDPOINT_TEXT_MAX];

    if ((by && strcmp(by, facts->name_src) != 0) || (guest && strcmp(guest, facts->guest) != 0))
        return false;
    for (size_t i = 0; facts->stage == DECIDE_OPEN && i < facts->name_count; i++)
        if (strcmp(who, facts->names[i]) == 0)
            return true;
    return strcmp(who, "*") == 0 || strcmp(who, facts->name) == 0 ||
           strcmp(who, addr_endpoint_format(&facts->dst, facts->dst_port, endpoint)) == 0;
}

static enum decide_answer read_answer(const struct line *line)
{
    if (line_is(line, 2, "allow"))
        return DECIDE_ALLOW;
    if (line_is(line, 2, "deny"))
        return DECIDE_DENY;
    if (line_is(line, 2, "never"))
        return DECIDE_PENDING;
    line_fail(line, "an answer is allow, deny or never");
}

static enum decide_answer on_decide(void *ctx, const struct decide_facts *facts, uint64_t token)
{
    struct embedder *e = ctx;

    for (unsigned i = 0; i < e->script.count; i++) {
        const struct line *line = &e->script.lines[i];
        const char *after = line_get(line, 3, "after");
        struct answer_later *later;

        if (!is_stage(line, facts->stage) || !is_about(line, facts))
            continue;
        if (!after)
            return read_answer(line);
        later = kernel_alloc(sizeof(*later));
        *later = (struct answer_later){e, token, read_answer(line), line_has(line, 3, "twice")};
        kernel_at_owned(kernel_now_us() + word_time_us(line, after), on_later, later);
        return DECIDE_PENDING;
    }
    return facts->verdict->action == VERDICT_DENY ? DECIDE_DENY : DECIDE_ALLOW; /* it has nothing to say */
}

void embedder_load(struct embedder *e, const char *dir, struct hook_config *out_config)
{
    memset(e, 0, sizeof(*e));
    if (!script_read(&e->script, dir, "embedder.txt"))
        return;
    *out_config = (struct hook_config){.on_decide = on_decide, .ctx = e, .decide_ms = HOOK_DECIDE_MS};
    for (unsigned i = 0; i < e->script.count; i++) {
        const struct line *line = &e->script.lines[i];

        if (line_is(line, 0, "timeout"))
            out_config->decide_ms = (uint32_t)(word_time_us(line, line_word(line, 1)) / 1000);
        else if (line_is(line, 0, "dns"))
            out_config->stages |= DECIDE_DNS;
        else if (line_is(line, 0, "open"))
            out_config->stages |= DECIDE_OPEN;
        else if (line_is(line, 0, "bytes"))
            out_config->stages |= DECIDE_BYTES;
        else
            line_fail(line, "'%s' is none of timeout, dns, open, bytes", line->words[0]);
    }
}

void embedder_deinit(struct embedder *e)
{
    script_free(&e->script);
}
