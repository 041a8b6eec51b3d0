/* The flow table: claiming, limits, deadlines, ids, and what TIME_WAIT flows are worth. */
#include "datapath/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stack/frame.h"

enum { FLOWS = 64 };

static struct flow_key key_of(unsigned n)
{
    struct flow_key key;

    memset(&key, 0, sizeof(key));
    key.link_id = 1;
    key.proto = FRAME_PROTO_TCP;
    key.guest_port = (uint16_t)(1024 + n);
    key.port = 443;
    key.guest = addr_v4(0xc0a87f02);
    key.dst = addr_v4(0xcb00710a);
    return key;
}

static struct flow *claim(struct flow_table *t, unsigned n)
{
    struct flow_key key = key_of(n);

    return flow_claim(t, &key, 1000);
}

static int set_up(void **state)
{
    static struct flow_table t;

    *state = &t;
    return flow_table_init(&t, FLOWS);
}

static int tear_down(void **state)
{
    struct flow_table *t = *state;

    for (uint32_t i = 0; i < t->fresh; i++)
        if (t->flows[i].state != FLOW_FREE && !t->flows[i].killed) {
            if (t->flows[i].state != FLOW_CLOSING)
                flow_move(&t->flows[i], FLOW_CLOSING);
            flow_release(t, &t->flows[i]);
        }
    flow_reap(t);
    flow_table_deinit(t);
    return 0;
}

static void end(struct flow_table *t, struct flow *flow)
{
    flow_move(flow, FLOW_CLOSING);
    flow_release(t, flow);
}

static void test_b16_the_limit_refuses_newcomers_and_keeps_the_old(void **state)
{
    struct flow_table *t = *state;
    struct flow_key first = key_of(0);

    for (unsigned i = 0; i < FLOWS; i++)
        assert_non_null(claim(t, i));
    assert_null(claim(t, FLOWS));
    assert_non_null(flow_find(t, &first));
    end(t, flow_find(t, &first));
    assert_null(flow_find(t, &first)); /* out of the hash at once ... */
    flow_reap(t);
    assert_non_null(claim(t, FLOWS)); /* ... and its slot is somebody else's after the turn */
}

static void test_a_slot_waits_for_its_handles(void **state)
{
    struct flow_table *t = *state;
    struct flow *flow = claim(t, 0);

    flow->closing = 1;
    end(t, flow);
    flow_reap(t);
    assert_int_equal(flow->state, FLOW_CLOSING);
    flow->closing = 0;
    flow_reap(t);
    assert_int_equal(flow->state, FLOW_FREE);
}

static void test_ids_of_the_dead_find_nobody(void **state)
{
    struct flow_table *t = *state;
    struct flow *flow = claim(t, 0);
    uint64_t id = flow_id(t, flow);

    end(t, flow);
    flow_reap(t);
    assert_ptr_equal(claim(t, 1), flow); /* the same slot */
    assert_int_not_equal(flow_id(t, flow), id);
}

static void test_h13_time_wait_counts_for_nothing_and_goes_first(void **state)
{
    struct flow_table *t = *state;
    unsigned waiting = FLOW_TIME_WAIT_MAX + 8, n = 0;

    for (; n < waiting; n++) { /* more than there are slots for */
        struct flow *flow = claim(t, n);

        assert_non_null(flow);
        flow_move(flow, FLOW_CLOSING);
        flow_enter_time_wait(t, flow);
    }
    assert_int_equal(t->live, 0);
    for (unsigned i = 0; i < FLOWS; i++) /* and still nobody is refused */
        assert_non_null(claim(t, n + i));
}

static void test_deadlines_come_in_order(void **state)
{
    struct flow_table *t = *state;
    static const uint64_t due[] = {500, 100, 900, 300, 300, 700};
    uint64_t last = 0;
    struct flow *flow;
    unsigned taken = 0;

    for (unsigned i = 0; i < 6; i++)
        flow_set_deadline(t, claim(t, i), due[i]);
    flow_set_deadline(t, &t->flows[2], 0);   /* cleared */
    flow_set_deadline(t, &t->flows[5], 200); /* moved forward */
    flow_set_deadline(t, &t->flows[1], 800); /* moved back */
    assert_int_equal(flow_next_deadline(t), 200);
    assert_null(flow_take_due(t, 199));
    while ((flow = flow_take_due(t, 600))) {
        uint64_t was = flow == &t->flows[5] ? 200 : due[flow - t->flows];

        assert_true(was >= last);
        assert_int_equal(flow->deadline_ms, 0);
        last = was;
        taken++;
    }
    assert_int_equal(taken, 4);
    assert_int_equal(flow_next_deadline(t), 800);
}

static void test_many_deadlines_against_a_model(void **state)
{
    struct flow_table *t = *state;
    uint32_t random = 12345;

    for (unsigned i = 0; i < FLOWS; i++)
        (void)claim(t, i);
    for (unsigned round = 0; round < 20000; round++) {
        uint64_t earliest = 0;

        random = random * 1664525 + 1013904223;
        flow_set_deadline(t, &t->flows[random >> 8 & (FLOWS - 1)], random >> 20 & 3 ? random >> 16 & 0xfff : 0);
        for (unsigned i = 0; i < FLOWS; i++)
            if (t->flows[i].deadline_ms > 0 && (earliest == 0 || t->flows[i].deadline_ms < earliest))
                earliest = t->flows[i].deadline_ms;
        assert_int_equal(flow_next_deadline(t), earliest);
    }
}

static void test_moves_outside_the_diagram_are_our_mistake(void **state)
{
    struct flow_table *t = *state;
    struct flow *flow = claim(t, 0);

    flow_move(flow, FLOW_DIALING);
    flow_move(flow, FLOW_JUDGING);
    flow_move(flow, FLOW_OPEN);
    flow_move(flow, FLOW_CLOSING);
}

static void test_a_verdict_comes_back_as_it_was_kept(void **state)
{
    struct flow_table *t = *state;
    struct flow *flow = claim(t, 0);
    struct verdict in = {
        .action = VERDICT_JUDGE, .reason = REASON_OK_RULE, .layer = POLICY_LAYER_FLOOR, .rule = 4095,
        .audited = true, .strict = true, .name = "ok.example",
    }, out;

    flow_set_verdict(flow, &in);
    flow_get_verdict(flow, &out);
    assert_int_equal(out.action, in.action);
    assert_int_equal(out.reason, in.reason);
    assert_int_equal(out.layer, in.layer);
    assert_int_equal(out.rule, in.rule);
    assert_true(out.audited && out.strict);
    assert_string_equal(out.name, in.name);
    in.name[0] = '\0';
    flow_set_verdict(flow, &in);
    assert_null(flow->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_b16_the_limit_refuses_newcomers_and_keeps_the_old, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_slot_waits_for_its_handles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ids_of_the_dead_find_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_h13_time_wait_counts_for_nothing_and_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadlines_come_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_deadlines_against_a_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moves_outside_the_diagram_are_our_mistake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_verdict_comes_back_as_it_was_kept, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
