/*
 * TAP devices: opened here or, for another network namespace, by a child process that passes the descriptor
 * back.
 */
#include "datapath/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdpass.h"

enum {
    VNET_HEADER_BYTES = 12,
    TAP_RING_FRAMES = 8192,
    ASK_BYTES_MAX = 64,
    OFFLOAD_USO = 0x20 | 0x40, /* TUN_F_USO4, TUN_F_USO6: newer than some kernels' headers, and agreed to together */
};

static int fail(char error[static TAP_ERROR_MAX], const char *what, const char *device, const char *hint)
{
    int err = errno;

    (void)snprintf(error, TAP_ERROR_MAX, "%s '%s': %s%s%s", what, device, strerror(err),
                   hint ? "; " : "", hint ? hint : "");
    return -err;
}

/* One request of rtnetlink(7). Return: whether the kernel did as it was asked. */
static bool ask_kernel(const struct nlmsghdr *ask)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char quoted[ASK_BYTES_MAX];
    } answer;
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool done = s >= 0 && send(s, ask, ask->nlmsg_len, 0) == (ssize_t)ask->nlmsg_len &&
                recv(s, &answer, sizeof(answer), 0) >= (ssize_t)NLMSG_LENGTH(sizeof(answer.error)) &&
                answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error == 0;

    if (s >= 0)
        (void)close(s);
    return done;
}

/*
 * A longer ring than the default of 1000 frames, which overflows silently: TCP takes that for congestion. The
 * ioctl for it wants the host's root; rtnetlink is content with the owner of the namespace. Return: whether
 * the kernel took it.
 */
static bool lengthen_ring(const char *device)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
        struct rtattr attribute;
        uint32_t frames;
    } ask = {
        .header = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .link = {.ifi_index = (int)if_nametoindex(device)},
        .attribute = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_TXQLEN},
        .frames = TAP_RING_FRAMES,
    };

    return ask.link.ifi_index > 0 && ask_kernel(&ask.header);
}

/*
 * No qdisc: frames never wait there, a TAP takes them all. Otherwise Linux makes one for each of the 256 queues that
 * such a device could have, each with lists as long as its ring.
 */
static bool drop_qdisc(const char *device)
{
    struct {
        struct nlmsghdr header;
        struct tcmsg qdisc;
        struct rtattr attribute;
        char kind[8];
    } ask = {
        .header = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_NEWQDISC,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE},
        .qdisc = {.tcm_ifindex = (int)if_nametoindex(device), .tcm_parent = TC_H_ROOT},
        .attribute = {.rta_len = RTA_LENGTH(sizeof(ask.kind)), .rta_type = TCA_KIND},
        .kind = "noqueue",
    };

    return ask.qdisc.tcm_ifindex > 0 && ask_kernel(&ask.header);
}

static int bring_up(const char *device, uint16_t mtu, struct tap_device *tap,
                    char error[static TAP_ERROR_MAX])
{
    struct ifreq ifr = {0};
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

    if (s < 0)
        return fail(error, "cannot configure TAP", device, NULL);
    strcpy(ifr.ifr_name, device);
    ifr.ifr_mtu = mtu;
    if (ioctl(s, SIOCSIFMTU, &ifr) < 0 && errno != EPERM)
        r = fail(error, "cannot set the MTU of TAP", device, NULL);
    tap->ring_set = lengthen_ring(device); /* if not, its users put less on the wire at a time */
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

    tap->uso = ioctl(tap->fd, TUNSETOFFLOAD, both | OFFLOAD_USO) == 0;
    tap->tso4 = tap->tso6 = tap->uso || ioctl(tap->fd, TUNSETOFFLOAD, both) == 0;
    if (!tap->tso4)
        (void)ioctl(tap->fd, TUNSETOFFLOAD, 0); /* without: ordinary frames, whole checksums */
}

static const char *attach_hint(int error)
{
    switch (error) {
    case EPERM:
        return "creating one needs CAP_NET_ADMIN in its namespace; a persistent one must belong to this user";
    case EBUSY:
        return "another process has it open";
    case EINVAL:
        return "it is no TAP, or has several queues: another weir made it, or someone did with multi_queue";
    default:
        return NULL;
    }
}

/* @flags: IFF_MULTI_QUEUE, IFF_TUN_EXCL. Return: a queue of the device, or -errno with @error filled. */
static int open_queue(const char *device, int flags, char error[static TAP_ERROR_MAX])
{
    struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags)};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), header = VNET_HEADER_BYTES, r;

    if (fd < 0)
        return fail(error, "cannot open /dev/net/tun for", device,
                    errno == EACCES || errno == EPERM ? "this user may not; see docs/configuration.md, \"TAP\""
                                                      : "is the tun module loaded?");
    strncpy(ifr.ifr_name, device, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        r = fail(error, "cannot create or attach TAP", device, attach_hint(errno));
        (void)close(fd);
        return r;
    }
    if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0) {
        r = fail(error, "cannot set the virtio-net header of TAP", device, NULL);
        (void)close(fd);
        return r;
    }
    return fd;
}

static bool set_queue(int fd, short what)
{
    struct ifreq ifr = {.ifr_flags = what};

    return ioctl(fd, TUNSETQUEUE, &ifr) == 0;
}

/* A device of that name that is not there yet, with two queues. Return: whether there is one now. */
static bool create_two(const char *device, struct tap_device *tap)
{
    char error[TAP_ERROR_MAX]; /* told by whoever tries next */

    tap->fd = open_queue(device, IFF_MULTI_QUEUE | IFF_TUN_EXCL, error);
    if (tap->fd < 0)
        return false;
    tap->bulk_fd = open_queue(device, IFF_MULTI_QUEUE, error);
    if (tap->bulk_fd >= 0 && set_queue(tap->bulk_fd, IFF_DETACH_QUEUE) && drop_qdisc(device))
        return true;
    tap_release(tap); /* and the device is gone */
    return false;
}

int tap_create(const char *device, uint16_t mtu, struct tap_device *out_tap,
               char error[static TAP_ERROR_MAX])
{
    struct tap_device tap = {.fd = -1, .bulk_fd = -1};
    int r;

    if (!create_two(device, &tap))
        tap.fd = open_queue(device, 0, error);
    if (tap.fd < 0)
        return tap.fd;
    agree_offloads(&tap);
    r = bring_up(device, mtu, &tap, error);
    if (r < 0) {
        tap_release(&tap);
        return r;
    }
    *out_tap = tap;
    return 0;
}

bool tap_attach_bulk(const struct tap_device *tap)
{
    return set_queue(tap->bulk_fd, IFF_ATTACH_QUEUE);
}

void tap_release(struct tap_device *tap)
{
    if (tap->fd >= 0)
        (void)close(tap->fd);
    if (tap->bulk_fd >= 0)
        (void)close(tap->bulk_fd);
    tap->fd = tap->bulk_fd = -1;
}

/* ---- over a socket ---- */

/* A message for each queue. */
int tap_pass(int s, const struct tap_device *tap)
{
    int err = fdpass_send(s, tap, sizeof(*tap), tap->fd);

    if (err == 0 && tap->bulk_fd >= 0)
        err = fdpass_send(s, tap, sizeof(*tap), tap->bulk_fd);
    return err;
}

int tap_receive(int s, struct tap_device *out_tap)
{
    struct tap_device tap, again;
    int fd, bulk_fd = -1, err = fdpass_receive(s, &tap, sizeof(tap), &fd);

    if (err < 0)
        return err;
    if (fd >= 0 && tap.bulk_fd >= 0)
        err = fdpass_receive(s, &again, sizeof(again), &bulk_fd);
    if (err == 0 && (fd < 0 || (tap.bulk_fd >= 0 && bulk_fd < 0)))
        err = -EBADMSG;
    tap.fd = fd; /* numbers were the sender's */
    tap.bulk_fd = bulk_fd;
    if (err < 0)
        tap_release(&tap);
    else
        *out_tap = tap;
    return err;
}

/* ---- in another namespace ---- */

/* What the child says; the device follows if there is one. */
struct answer {
    int result;
    char error[TAP_ERROR_MAX];
};

static int enter_netns(const char *netns, char error[static TAP_ERROR_MAX])
{
    char path[TAP_NETNS_MAX + 16];
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

int tap_create_in(const char *netns, const char *device, uint16_t mtu, struct tap_device *out_tap,
                  char error[static TAP_ERROR_MAX])
{
    struct answer answer = {.result = -EIO};
    struct tap_device tap;
    int s[2], status, none;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0)
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
            answer.result = tap_create(device, mtu, &tap, answer.error);
        /* Nobody to tell when that fails: the parent sees the end of the socket. */
        if (fdpass_send(s[1], &answer, sizeof(answer), -1) == 0 && answer.result == 0)
            (void)tap_pass(s[1], &tap);
        _exit(0);
    }
    (void)close(s[1]);
    if (fdpass_receive(s[0], &answer, sizeof(answer), &none) < 0 ||
        (answer.result == 0 && tap_receive(s[0], &tap) < 0)) {
        errno = EIO;
        answer.result = fail(answer.error, "the helper process failed for TAP", device, NULL);
    }
    (void)close(s[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (answer.result < 0) {
        memcpy(error, answer.error, sizeof(answer.error));
        return answer.result;
    }
    *out_tap = tap;
    return 0;
}
