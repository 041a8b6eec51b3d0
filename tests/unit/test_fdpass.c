#include "base/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { LEN = 8 };

static int ends[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int teardown(void **state)
{
    (void)state;
    (void)close(ends[0]);
    (void)close(ends[1]);
    return 0;
}

/* The lowest free number: the same before and after, when nothing was left open in between. */
static int next_fd(void)
{
    int fd = dup(ends[0]);

    assert_true(fd >= 0);
    (void)close(fd);
    return fd;
}

static void test_a_message_alone(void **state)
{
    char got[LEN];
    int fd = 77;

    (void)state;
    assert_int_equal(fdpass_send(ends[0], "abcdefg", LEN, -1), 0);
    assert_int_equal(fdpass_receive(ends[1], got, LEN, &fd), 0);
    assert_string_equal(got, "abcdefg");
    assert_int_equal(fd, -1);
}

static void test_a_descriptor_along(void **state)
{
    struct stat sent, received;
    int pipe_ends[2], fd = -1;
    char got[LEN];

    (void)state;
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(fdpass_send(ends[0], "abcdefg", LEN, pipe_ends[0]), 0);
    assert_int_equal(fdpass_receive(ends[1], got, LEN, &fd), 0);
    assert_int_equal(fstat(pipe_ends[0], &sent), 0); /* still ours */
    assert_int_equal(fstat(fd, &received), 0);
    assert_int_equal(sent.st_ino, received.st_ino);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    (void)close(pipe_ends[0]);
    (void)close(pipe_ends[1]);
    (void)close(fd);
}

/* What the other end of a socket could send instead. */
static const struct {
    const char *why;
    size_t len;
    int descriptors, result;
} odd[] = {
    {"shorter", LEN - 1, 0, -EBADMSG},
    {"shorter, with a descriptor that must not stay open", LEN - 1, 1, -EBADMSG},
    {"longer", LEN + 1, 1, -EBADMSG},
    {"two descriptors: alignment leaves room for them", LEN, 2, -EBADMSG},
    {"more than there is room for", LEN, 5, -EBADMSG},
    {"as it should be", LEN, 0, 0},
};

static void send_odd(size_t len, int descriptors)
{
    char bytes[LEN + 1] = "abcdefg";
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(5 * sizeof(int))] = {0};
    struct iovec iov = {.iov_base = bytes, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (descriptors > 0) {
        struct cmsghdr *c;

        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE((size_t)descriptors * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)descriptors * sizeof(int));
        for (int i = 0; i < descriptors; i++)
            memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &ends[0], sizeof(int));
    }
    assert_int_equal(sendmsg(ends[0], &msg, 0), len);
}

static void test_odd_messages_leave_nothing_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        int before = next_fd(), fd = 77, err;
        char got[LEN];

        send_odd(odd[i].len, odd[i].descriptors);
        err = fdpass_receive(ends[1], got, LEN, &fd);
        if (err != odd[i].result || (err < 0 && fd != 77) || next_fd() != before)
            fail_msg("%s: %d, fd %d, next %d instead of %d", odd[i].why, err, fd, next_fd(), before);
    }
}

static void test_the_other_end_is_gone(void **state)
{
    char got[LEN];
    int fd = 77;

    (void)state;
    (void)close(ends[0]);
    assert_int_equal(fdpass_receive(ends[1], got, LEN, &fd), -EPIPE);
    assert_int_equal(fdpass_send(ends[1], "abcdefg", LEN, -1), -EPIPE); /* no signal */
    assert_int_equal(fd, 77);
    ends[0] = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_message_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_descriptor_along, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_messages_leave_nothing_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_other_end_is_gone, setup, teardown),
    };

    return cmocka_run_group_tests_name("fdpass", tests, NULL, NULL);
}
