/*
 * The embedder's answers as embedders give them: from other threads, while a real loop runs (C1, C19, T155). What each answer
 * comes to, stage by stage, is the affair of tests/replay; here it is about where it comes from, when, and how often.
 *
 * Also to be run with ThreadSanitizer: meson setup build-tsan -Db_sanitize=thread; meson test -C build-tsan hook.
 */
#include "datapath/hook.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/instance.h"
#include "policy_setup.h"
#include "real_loop.h"

enum {
    FLOWS = 100,
    FIRST_PORT = 10000,
    JOBS_MAX = 4 * HOOK_PENDING_MAX,
    THREADS = 2,
    IMPATIENT_MS = 100,
    THOUGHT_MS = 300,
    RCODE_NXDOMAIN = 3,
};

enum seen { SEEN_NOTHING, SEEN_SYN_ACK, SEEN_RST };

struct job {
    uint64_t token;
    enum decide_answer answer;
    bool twice; /* then with the other answer */
};

/* The embedder's other threads. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct job jobs[JOBS_MAX];
    unsigned count, taken, done;
    bool stop;
    pthread_t threads[THREADS];
} worker;

static struct real_loop real;

static struct {
    uint64_t until_ms;
    enum seen seen[FLOWS]; /* by guest port */
    int rcode;             /* of the last answer to a question; -1: none */
    uint64_t tokens[HOOK_PENDING_MAX + FLOWS];
    unsigned asked;
    enum decide_answer (*on_decide)(uint64_t token, unsigned number);
} t;

/* ---- other threads ---- */

static void resume(uint64_t token, enum decide_answer answer)
{
    int err;

    do {
        err = instance_resume(real.instance, token, answer);
    } while (err == -ENOBUFS); /* the loop will take what is there */
    CHECK(err == 0);
}

static void *work(void *ctx)
{
    (void)pthread_mutex_lock(&worker.lock);
    for (;;) {
        struct job job;

        while (worker.taken == worker.count && !worker.stop)
            (void)pthread_cond_wait(&worker.more, &worker.lock);
        if (worker.taken == worker.count)
            break;
        job = worker.jobs[worker.taken++];
        (void)pthread_mutex_unlock(&worker.lock);
        resume(job.token, job.answer);
        if (job.twice)
            resume(job.token, job.answer == DECIDE_ALLOW ? DECIDE_DENY : DECIDE_ALLOW);
        (void)pthread_mutex_lock(&worker.lock);
        worker.done++;
    }
    (void)pthread_mutex_unlock(&worker.lock);
    return ctx;
}

static enum decide_answer later(struct job job)
{
    (void)pthread_mutex_lock(&worker.lock);
    CHECK(worker.count < JOBS_MAX);
    worker.jobs[worker.count++] = job;
    (void)pthread_cond_signal(&worker.more);
    (void)pthread_mutex_unlock(&worker.lock);
    return DECIDE_PENDING;
}

static bool all_done(void)
{
    bool done;

    (void)pthread_mutex_lock(&worker.lock);
    done = worker.done == worker.count;
    (void)pthread_mutex_unlock(&worker.lock);
    return done;
}

/* ---- the instance, and what its guest sees ---- */

static enum decide_answer on_decide(void *ctx, const struct decide_facts *facts, uint64_t token)
{
    unsigned number = t.asked++;

    (void)ctx;
    (void)facts;
    CHECK(number < ARRAY_SIZE(t.tokens));
    t.tokens[number] = token;
    return t.on_decide(token, number);
}

static void on_packet(const struct packet *p)
{
    if (p->kind == WIRE_UDP && p->payload_bytes > 3)
        t.rcode = p->payload[3] & 15;
    if (p->kind != WIRE_TCP)
        return;
    CHECK(p->dst_port >= FIRST_PORT && p->dst_port < FIRST_PORT + FLOWS);
    t.seen[p->dst_port - FIRST_PORT] = p->flags & WIRE_RST ? SEEN_RST : SEEN_SYN_ACK;
}

static void give_segment(unsigned i, uint8_t flags, uint32_t seq)
{
    real_loop_give_segment(&real, ADDR_V4, (uint16_t)(FIRST_PORT + i), flags, seq, 0);
}

static void give_syn(unsigned i)
{
    give_segment(i, WIRE_SYN, 1000);
}

static void run_until(bool (*done)(void), const char *what)
{
    real_loop_run_until(&real, done, what);
}

/* One turn more, for what has been handed over and not looked at. */
static void run_once(void)
{
    (void)uv_run(&real.loop, UV_RUN_NOWAIT);
    (void)uv_run(&real.loop, UV_RUN_NOWAIT);
}

static unsigned accepted(void)
{
    unsigned n = 0;
    int fd;

    while ((fd = accept(real.listener, NULL, NULL)) >= 0) {
        (void)close(fd);
        n++;
    }
    return n;
}

static int start(uint32_t decide_ms)
{
    struct instance_config config;

    memset(&t, 0, sizeof(t));
    t.rcode = -1;
    memset(&worker, 0, sizeof(worker));
    (void)pthread_mutex_init(&worker.lock, NULL);
    (void)pthread_cond_init(&worker.more, NULL);
    instance_config_init(&config);
    config.net6 = (struct addr_prefix){.base = {.family = ADDR_NONE}}; /* no frame that nobody asked for */
    config.policy = setup_policy(NULL, "allow host tcp;allow ok.example");
    config.hook = (struct hook_config){.on_decide = on_decide, .stages = DECIDE_DNS | DECIDE_OPEN, .decide_ms = decide_ms};
    if (real_loop_init(&real, on_packet) < 0 || real_loop_start(&real, &config) < 0)
        return -1;
    policy_unref(config.policy);
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&worker.threads[i], NULL, work, NULL) != 0)
            return -1;
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return start(HOOK_DECIDE_MS);
}

static int set_up_impatient(void **state)
{
    (void)state;
    return start(IMPATIENT_MS);
}

static int tear_down(void **state)
{
    (void)state;
    (void)pthread_mutex_lock(&worker.lock);
    worker.stop = true;
    (void)pthread_cond_broadcast(&worker.more);
    (void)pthread_mutex_unlock(&worker.lock);
    for (unsigned i = 0; i < THREADS; i++) /* from here on nobody answers */
        (void)pthread_join(worker.threads[i], NULL);
    return real_loop_deinit(&real);
}

/* ---- cases ---- */

static bool all_seen(void)
{
    for (unsigned i = 0; i < FLOWS; i++)
        if (t.seen[i] == SEEN_NOTHING)
            return false;
    return all_done();
}

static enum decide_answer every_other_twice(uint64_t token, unsigned number)
{
    return later((struct job){token, number % 2 == 0 ? DECIDE_ALLOW : DECIDE_DENY, true});
}

static void test_t155_c01_each_flow_has_its_first_answer_from_another_thread(void **state)
{
    (void)state;
    t.on_decide = every_other_twice;
    for (unsigned i = 0; i < FLOWS; i++)
        give_syn(i);
    run_until(all_seen, "an answer for each");
    run_once();
    for (unsigned i = 0; i < FLOWS; i++)
        assert_int_equal(t.seen[i], i % 2 == 0 ? SEEN_SYN_ACK : SEEN_RST);
    assert_int_equal(accepted(), FLOWS / 2);
    assert_int_equal(real.instance->reasons[REASON_DENY_HOOK], FLOWS / 2);
}

static enum decide_answer answer_before_it_is_waited_for(uint64_t token, unsigned number)
{
    resume(token, number % 2 == 0 ? DECIDE_ALLOW : DECIDE_DENY);
    return DECIDE_PENDING;
}

static void test_t155_an_answer_from_inside_the_question(void **state)
{
    (void)state;
    t.on_decide = answer_before_it_is_waited_for;
    for (unsigned i = 0; i < FLOWS; i++)
        give_syn(i);
    run_until(all_seen, "an answer for each");
    for (unsigned i = 0; i < FLOWS; i++)
        assert_int_equal(t.seen[i], i % 2 == 0 ? SEEN_SYN_ACK : SEEN_RST);
    assert_int_equal(accepted(), FLOWS / 2);
}

static enum decide_answer never(uint64_t token, unsigned number)
{
    (void)token;
    (void)number;
    return DECIDE_PENDING;
}

static void test_t155_an_answer_to_a_flow_that_is_gone_is_nobodys(void **state)
{
    (void)state;
    t.on_decide = never;
    give_syn(0);
    run_once();
    give_segment(0, WIRE_RST, 1001); /* the guest thinks better of it */
    run_once();
    give_syn(1); /* in the same places */
    run_once();
    assert_int_equal(t.asked, 2);
    (void)later((struct job){t.tokens[0], DECIDE_ALLOW, true});
    run_until(all_done, "the answer");
    run_once();
    assert_int_equal(t.seen[1], SEEN_NOTHING);
    (void)later((struct job){t.tokens[1], DECIDE_DENY, false});
    run_until(all_done, "the other answer");
    run_once();
    assert_int_equal(t.seen[1], SEEN_RST);
    assert_int_equal(t.seen[0], SEEN_NOTHING);
    assert_int_equal(accepted(), 0);
}

static enum decide_answer only_the_second(uint64_t token, unsigned number)
{
    return number == 1 ? later((struct job){token, DECIDE_ALLOW, true}) : DECIDE_PENDING;
}

static bool second_seen(void)
{
    return t.seen[1] != SEEN_NOTHING;
}

static bool both_seen(void)
{
    return t.seen[0] != SEEN_NOTHING && t.seen[1] != SEEN_NOTHING;
}

static bool thought_about(void)
{
    return uv_now(&real.loop) >= t.until_ms;
}

static void test_c19_c01_one_answer_takes_its_time_and_holds_nobody_up(void **state)
{
    (void)state;
    t.on_decide = only_the_second;
    give_syn(0);
    give_syn(1);
    run_until(second_seen, "the second flow");
    t.until_ms = uv_now(&real.loop) + THOUGHT_MS;
    run_until(thought_about, "time");
    assert_int_equal(t.seen[0], SEEN_NOTHING);
    (void)later((struct job){t.tokens[0], DECIDE_ALLOW, true});
    run_until(both_seen, "the first one");
    assert_int_equal(t.seen[0], SEEN_SYN_ACK);
    assert_int_equal(t.seen[1], SEEN_SYN_ACK);
    assert_int_equal(accepted(), 2);
}

static bool first_refused(void)
{
    return t.seen[0] == SEEN_RST;
}

static void test_t155_an_answer_behind_its_deadline_is_nobodys(void **state)
{
    (void)state;
    t.on_decide = never;
    give_syn(0);
    run_until(first_refused, "the deadline");
    give_syn(1); /* in the same places, and still waiting */
    (void)later((struct job){t.tokens[0], DECIDE_ALLOW, true});
    run_until(all_done, "the late answer");
    run_until(both_seen, "the other deadline");
    assert_int_equal(t.seen[1], SEEN_RST);
    assert_int_equal(real.instance->reasons[REASON_HOOK_TIMEOUT], 2);
    assert_int_equal(accepted(), 0);
}

static void test_t155_more_answers_than_are_kept(void **state)
{
    (void)state;
    t.on_decide = never;
    give_syn(0);
    for (unsigned i = 0; i < HOOK_PENDING_MAX; i++) /* the loop does not run: they stay */
        assert_int_equal(instance_resume(real.instance, UINT64_MAX - i, DECIDE_ALLOW), 0);
    assert_int_equal(instance_resume(real.instance, t.tokens[0], DECIDE_DENY), -ENOBUFS);
    assert_int_equal(instance_resume(real.instance, t.tokens[0], DECIDE_PENDING), -EINVAL);
    (void)later((struct job){t.tokens[0], DECIDE_DENY, false}); /* which says it until there is room */
    run_until(first_refused, "the answer that counts");
}

static enum decide_answer denied(uint64_t token, unsigned number)
{
    (void)number;
    return later((struct job){token, DECIDE_DENY, true});
}

static bool question_answered(void)
{
    return t.rcode >= 0 && all_done();
}

static void test_c01_t155_a_question_for_a_name(void **state)
{
    static const uint8_t query[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\2ok\7example\0\0\1\0"; /* and its NUL: class 1 is 0, 1 */
    uint8_t bytes[sizeof(query)];
    struct packet p = {.kind = WIRE_UDP, .dst = setup_addr("192.168.127.1"), .src_port = 5353, .dst_port = 53,
                       .payload = bytes, .payload_bytes = sizeof(bytes)};

    (void)state;
    memcpy(bytes, query, sizeof(bytes));
    bytes[sizeof(bytes) - 1] = 1;
    t.on_decide = denied;
    real_loop_give(&real, &p);
    run_until(question_answered, "an answer to the guest");
    assert_int_equal(t.rcode, RCODE_NXDOMAIN);
    assert_int_equal(real.instance->reasons[REASON_DENY_HOOK], 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_t155_c01_each_flow_has_its_first_answer_from_another_thread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_t155_an_answer_from_inside_the_question, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_t155_an_answer_to_a_flow_that_is_gone_is_nobodys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_c19_c01_one_answer_takes_its_time_and_holds_nobody_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_t155_an_answer_behind_its_deadline_is_nobodys, set_up_impatient, tear_down),
        cmocka_unit_test_setup_teardown(test_t155_more_answers_than_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_c01_t155_a_question_for_a_name, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("hook", tests, NULL, NULL);
}
