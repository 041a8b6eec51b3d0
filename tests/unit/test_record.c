/* The flow log: what a line says, what guests may put into it, repeats, and readers that do not keep up. */
#include "datapath/record.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

struct fixture {
    struct record_log log;
    struct counters counters;
    int read_fd, write_fd;
    char text[512 * 1024];
};

static int set_up(void **state)
{
    static struct fixture f;
    int fds[2];

    memset(&f, 0, sizeof(f));
    if (pipe2(fds, O_NONBLOCK) < 0)
        return -1;
    f.read_fd = fds[0];
    f.write_fd = fds[1];
    *state = &f;
    return record_init(&f.log, f.write_fd, &f.counters);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    (void)close(f->read_fd);
    record_deinit(&f->log); /* writes into a pipe nobody reads */
    (void)close(f->write_fd);
    return 0;
}

/* What was written so far, as text. */
static char *written(struct fixture *f)
{
    ssize_t n;

    record_flush(&f->log);
    n = read(f->read_fd, f->text, sizeof(f->text) - 1);
    f->text[n > 0 ? n : 0] = '\0';
    return f->text;
}

static struct record denial(const char *name)
{
    return (struct record){
        .event = RECORD_DENY,
        .guest = "vm1",
        .proto = "tcp",
        .src = addr_v4(0xc0a87f02),
        .dst = addr_v4(0xcb007114),
        .src_port = 40000,
        .dst_port = 443,
        .name = name,
        .rule = -1,
        .verdict = "deny",
        .reason = REASON_NAME_MISMATCH,
        .stage = "bytes",
    };
}

static void test_h09_a_line_is_one_object_with_its_fields(void **state)
{
    struct fixture *f = *state;
    struct record r = denial("evil.example");
    json_t *o;

    record_add(&f->log, &r, 1000);
    o = json_loads(written(f), 0, NULL);
    assert_non_null(o);
    assert_int_equal(json_integer_value(json_object_get(o, "v")), 1);
    assert_string_equal(json_string_value(json_object_get(o, "ev")), "deny");
    assert_string_equal(json_string_value(json_object_get(o, "src")), "192.168.127.2:40000");
    assert_string_equal(json_string_value(json_object_get(o, "dst")), "203.0.113.20:443");
    assert_string_equal(json_string_value(json_object_get(o, "reason")), "name.mismatch");
    assert_null(json_object_get(o, "rule"));
    assert_int_equal(strlen(json_string_value(json_object_get(o, "ts"))), strlen("2026-01-01T00:00:00.000Z"));
    json_decref(o);
}

static void test_what_guests_made_is_escaped_and_cut(void **state)
{
    struct fixture *f = *state;
    char hostile[600] = "";
    struct record r = denial(hostile);
    const char *name;
    json_t *o;

    memset(hostile, 'a', sizeof(hostile) - 1);
    hostile[sizeof(hostile) - 1] = '\0';
    memcpy(hostile, "\"\n{\x1b[2J\\\xff", 9);
    record_add(&f->log, &r, 1000);
    (void)written(f);
    assert_int_equal(strcspn(f->text, "\n"), strlen(f->text) - 1); /* one line */
    assert_null(strchr(f->text, 0x1b));
    o = json_loads(f->text, 0, NULL);
    assert_non_null(o);
    name = json_string_value(json_object_get(o, "name"));
    assert_true(strlen(name) <= RECORD_TEXT_MAX);
    assert_memory_equal(name, "\"\\x0a{\\x1b[2J\\x5c\\xff", 19);
    json_decref(o);
}

static void test_t158_repeats_become_one_record(void **state)
{
    struct fixture *f = *state;
    struct record r = denial("evil.example"), other = denial("other.example");
    json_t *o;

    record_add(&f->log, &r, 1000);
    record_add(&f->log, &other, 1000);
    (void)written(f);
    for (unsigned i = 0; i < 1000; i++)
        record_add(&f->log, &r, 2000);
    assert_string_equal(written(f), "");
    assert_int_equal(record_repeats(&f->log, 10999, false), 11000); /* not before its ten seconds are over */
    assert_string_equal(written(f), "");
    assert_int_equal(record_repeats(&f->log, 11000, false), 0);
    o = json_loads(written(f), 0, NULL); /* one line: the other denial had no repeats */
    assert_non_null(o);
    assert_int_equal(json_integer_value(json_object_get(o, "repeat")), 1000);
    assert_string_equal(json_string_value(json_object_get(o, "name")), "evil.example");
    json_decref(o);
    record_add(&f->log, &r, 12000); /* anew */
    assert_string_not_equal(written(f), "");
}

static void test_ends_of_flows_are_never_repeats(void **state)
{
    struct fixture *f = *state;
    struct record r = denial("ok.example");
    unsigned lines = 0;

    r.event = RECORD_CLOSE;
    for (unsigned i = 0; i < 5; i++)
        record_add(&f->log, &r, 1000);
    for (const char *p = written(f); (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 5);
}

/* A reader that stands still costs lines, which are counted, and never time: the next line that fits says how many. */
static void test_t158_a_slow_reader_loses_lines_and_is_told(void **state)
{
    struct fixture *f = *state;
    struct record r = denial("ok.example");
    uint64_t lost;
    char *last;
    json_t *o;

    r.event = RECORD_CLOSE;
    for (unsigned i = 0; i < 5000; i++) {
        record_add(&f->log, &r, 1000);
        record_flush(&f->log);
    }
    lost = f->counters.n[COUNTER_LOG_LOST];
    assert_true(lost > 0);
    assert_true(f->log.len <= RECORD_BUFFER_BYTES_MAX);
    while (*written(f) != '\0')
        ;
    record_add(&f->log, &r, 1000);
    last = written(f);
    o = json_loads(last, 0, NULL);
    assert_non_null(o);
    assert_int_equal(json_integer_value(json_object_get(o, "lost")), lost);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_h09_a_line_is_one_object_with_its_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_guests_made_is_escaped_and_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_t158_repeats_become_one_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ends_of_flows_are_never_repeats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_t158_a_slow_reader_loses_lines_and_is_told, set_up, tear_down),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
