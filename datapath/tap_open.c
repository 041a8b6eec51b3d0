/*
 * TAP devices: opened here or, for another network namespace, by a child process that passes the descriptor back.
 */
#include "datapath/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VNET_HEADER_BYTES = 12, TAP_RING_FRAMES = 8192 };

static int fail(char error[static LINK_ERROR_MAX], const char *what, const char *device, const char *hint)
{
    int err = errno;

    (void)snprintf(error, LINK_ERROR_MAX, "%s '%s': %s%s%s", what, device, strerror(err),
                   hint ? "; " : "", hint ? hint : "");
    return -err;
}

static int bring_up(const char *device, uint16_t mtu, struct tap_device *tap,
                    char error[static LINK_ERROR_MAX])
{
    struct ifreq ifr = {0};
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

    if (s < 0)
        return fail(error, "cannot configure TAP", device, NULL);
    strcpy(ifr.ifr_name, device);
    ifr.ifr_mtu = mtu;
    if (ioctl(s, SIOCSIFMTU, &ifr) < 0 && errno != EPERM)
        r = fail(error, "cannot set the MTU of TAP", device, NULL);
    /* The default ring holds 1000 frames and then drops silently, which TCP takes for congestion. */
    ifr.ifr_qlen = TAP_RING_FRAMES;
    tap->ring_set = ioctl(s, SIOCSIFTXQLEN, &ifr) == 0;
    if (r == 0 && ioctl(s, SIOCGIFFLAGS, &ifr) == 0 && !(ifr.ifr_flags & IFF_UP)) {
        ifr.ifr_flags |= IFF_UP;
        if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0 && errno != EPERM)
            r = fail(error, "cannot bring up TAP", device, NULL);
    }
    (void)close(s);
    return r;
}

static void agree_offloads(struct tap_device *tap)
{
    unsigned both = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

    tap->tso4 = tap->tso6 = ioctl(tap->fd, TUNSETOFFLOAD, both) == 0;
    if (!tap->tso4)
        (void)ioctl(tap->fd, TUNSETOFFLOAD, 0); /* without: ordinary frames, whole checksums */
}

int tap_create(const char *device, uint16_t mtu, struct tap_device *out_tap,
               char error[static LINK_ERROR_MAX])
{
    struct tap_device tap = {.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)};
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int header = VNET_HEADER_BYTES, r;

    if (tap.fd < 0)
        return fail(error, "cannot open /dev/net/tun for", device,
                    errno == EACCES || errno == EPERM ? "this user may not; see docs/configuration.md, \"TAP\""
                                                      : "is the tun module loaded?");
    strncpy(ifr.ifr_name, device, IFNAMSIZ - 1);
    if (ioctl(tap.fd, TUNSETIFF, &ifr) < 0) {
        r = fail(error, "cannot create or attach TAP", device,
                 errno == EPERM ? "creating one needs CAP_NET_ADMIN in its namespace; a persistent one must belong to this user"
                 : errno == EBUSY ? "another process has it open"
                                  : NULL);
        (void)close(tap.fd);
        return r;
    }
    if (ioctl(tap.fd, TUNSETVNETHDRSZ, &header) < 0) {
        r = fail(error, "cannot set the virtio-net header of TAP", device, NULL);
        (void)close(tap.fd);
        return r;
    }
    agree_offloads(&tap);
    r = bring_up(device, mtu, &tap, error);
    if (r < 0) {
        (void)close(tap.fd);
        return r;
    }
    *out_tap = tap;
    return 0;
}

/* What the child says: an error, or a device whose descriptor travels along. */
struct answer {
    int result;
    struct tap_device tap;
    char error[LINK_ERROR_MAX];
};

static int enter_netns(const char *netns, char error[static LINK_ERROR_MAX])
{
    char path[LINK_PATH_MAX + 16];
    bool pid = netns[0] != '\0' && strspn(netns, "0123456789") == strlen(netns);
    int fd;

    (void)snprintf(path, sizeof(path), pid ? "/proc/%s/ns/net" : "%s", netns);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(error, "cannot open network namespace", path, NULL);
    if (setns(fd, CLONE_NEWNET) < 0)
        return fail(error, "cannot enter network namespace", path,
                    errno == EPERM ? "that needs CAP_SYS_ADMIN over it" : NULL);
    (void)close(fd);
    return 0;
}

static void send_answer(int s, struct answer *answer)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {.iov_base = answer, .iov_len = sizeof(*answer)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (answer->result == 0) {
        struct cmsghdr *c;

        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &answer->tap.fd, sizeof(int));
    }
    (void)sendmsg(s, &msg, MSG_NOSIGNAL); /* nobody to tell: the parent sees the end of the socket */
}

static int receive_answer(int s, struct answer *out_answer)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {.iov_base = out_answer, .iov_len = sizeof(*out_answer)};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *c;
    ssize_t n = recvmsg(s, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);

    if (n != (ssize_t)sizeof(*out_answer))
        return -EIO;
    if (out_answer->result < 0)
        return 0;
    c = CMSG_FIRSTHDR(&msg);
    if (!c || c->cmsg_type != SCM_RIGHTS)
        return -EIO;
    memcpy(&out_answer->tap.fd, CMSG_DATA(c), sizeof(int));
    return 0;
}

int tap_create_in(const char *netns, const char *device, uint16_t mtu, struct tap_device *out_tap,
                  char error[static LINK_ERROR_MAX])
{
    struct answer answer = {.result = -EIO};
    int s[2], status;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0)
        return fail(error, "cannot start the helper for TAP", device, NULL);
    pid = fork();
    if (pid < 0) {
        answer.result = fail(error, "cannot start the helper for TAP", device, NULL);
        (void)close(s[0]);
        (void)close(s[1]);
        return answer.result;
    }
    if (pid == 0) {
        answer.result = enter_netns(netns, answer.error);
        if (answer.result == 0)
            answer.result = tap_create(device, mtu, &answer.tap, answer.error);
        send_answer(s[1], &answer);
        _exit(0);
    }
    (void)close(s[1]);
    if (receive_answer(s[0], &answer) < 0) {
        errno = EIO;
        answer.result = fail(answer.error, "the helper process failed for TAP", device, NULL);
    }
    (void)close(s[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (answer.result < 0) {
        memcpy(error, answer.error, LINK_ERROR_MAX);
        return answer.result;
    }
    *out_tap = answer.tap;
    return 0;
}
