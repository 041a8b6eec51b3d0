/*
 * One case: a folder with what goes in and what must come out, run on a whole instance.
 */
#ifndef WEIR_TESTS_REPLAY_CASE_H
#define WEIR_TESTS_REPLAY_CASE_H

#include <jansson.h>
#include <stdbool.h>

#include "cmd/config.h"
#include "datapath/instance.h"
#include "embedder.h"
#include "peers.h"
#include "vm.h"
#include "words.h"

#define CASE_GRACE_US UINT64_C(2000000) /* the case goes on so long behind the guest's last line */

struct replay {
    const char *dir;         /* borrowed */
    struct script expect;
    uv_loop_t loop;
    struct config config;
    struct instance *instance;
    struct world world;
    struct peers peers;
    struct vm vm;
    struct embedder embedder;
    int log_fd;              /* owned */
    json_t *records;         /* owned: what the flow log says so far */
    uint64_t end_us;
    unsigned failures;
    bool show;               /* print frames and records even when all is well */
};

/** Run the case in @dir. Return: whether everything was as expected; what was not is printed. */
bool case_run(const char *dir, bool show);

/** Compare with expect.txt (expect.c). Adds to @r->failures. */
void expect_check(struct replay *r);

/** One failed expectation. */
__attribute__((format(printf, 3, 4))) void case_fail(struct replay *r, const struct line *line, const char *format, ...);

#endif
