/*
 * The guest's network: loopback, and one TAP with an address, a default route, and nothing else. The same as a virtual machine
 * would be given by DHCP.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/exec.h"

enum { RING_FRAMES = 8192 };

static struct sockaddr_in sockaddr_of(const struct addr *a)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr_to_v4(a))};

    return sin;
}

/* Comforts: without them the guest works all the same. */
static void set_sysctl(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, value, strlen(value));
    (void)close(fd);
}

static struct ifreq request(const char *device)
{
    struct ifreq ifr = {0};

    strcpy(ifr.ifr_name, device);
    return ifr;
}

static int bring_up(int s, const char *device, char error[static LINK_ERROR_MAX])
{
    struct ifreq ifr = request(device);

    if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
        return exec_fail(error, "cannot read the flags of %s", device);
    ifr.ifr_flags |= IFF_UP;
    if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
        return exec_fail(error, "cannot bring up %s", device);
    return 0;
}

static int set_mac(int s, const struct config *c, char error[static LINK_ERROR_MAX])
{
    struct ifreq ifr = request(EXEC_DEVICE);

    if (!c->guest_mac_given)
        return 0;
    ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(ifr.ifr_hwaddr.sa_data, c->guest_mac, FRAME_MAC_BYTES);
    return ioctl(s, SIOCSIFHWADDR, &ifr) < 0 ? exec_fail(error, "cannot set the MAC address") : 0;
}

static int set_addr(int s, unsigned long what, const struct addr *a, char error[static LINK_ERROR_MAX])
{
    struct ifreq ifr = request(EXEC_DEVICE);
    struct sockaddr_in sin = sockaddr_of(a);

    memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
    return ioctl(s, what, &ifr) < 0 ? exec_fail(error, "cannot give " EXEC_DEVICE " its address") : 0;
}

static int set_default_route(int s, const struct addr *gateway, char error[static LINK_ERROR_MAX])
{
    struct sockaddr_in any = {.sin_family = AF_INET}, via = sockaddr_of(gateway);
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

    memcpy(&route.rt_dst, &any, sizeof(any));
    memcpy(&route.rt_genmask, &any, sizeof(any));
    memcpy(&route.rt_gateway, &via, sizeof(via));
    return ioctl(s, SIOCADDRT, &route) < 0 ? exec_fail(error, "cannot set the default route") : 0;
}

/*
 * A longer ring than the default of 1000 frames, which overflows silently. The ioctl for it wants the host's root; rtnetlink is
 * content with the namespace's. Return: whether the kernel took it.
 */
static bool lengthen_ring(void)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
        struct rtattr attribute;
        uint32_t frames;
    } ask = {
        .header = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .link = {.ifi_index = (int)if_nametoindex(EXEC_DEVICE)},
        .attribute = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_TXQLEN},
        .frames = RING_FRAMES,
    };
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char quoted[sizeof(ask)];
    } answer;
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool taken = s >= 0 && send(s, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask) &&
                 recv(s, &answer, sizeof(answer), 0) >= (ssize_t)NLMSG_LENGTH(sizeof(answer.error)) &&
                 answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error == 0;

    if (s >= 0)
        (void)close(s);
    return taken;
}

static int configure(const struct config *c, char error[static LINK_ERROR_MAX])
{
    const struct addr_prefix *net = &c->instance.net4;
    struct addr gateway = addr_prefix_nth(net, 1), own = addr_prefix_nth(net, 2);
    struct addr mask = addr_v4(UINT32_MAX << (32 - net->bits));
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

    if (s < 0)
        return exec_fail(error, "cannot configure the network");
    err = bring_up(s, "lo", error);
    if (err == 0)
        err = set_mac(s, c, error);
    if (err == 0)
        err = set_addr(s, SIOCSIFADDR, &own, error);
    if (err == 0)
        err = set_addr(s, SIOCSIFNETMASK, &mask, error);
    if (err == 0)
        err = set_default_route(s, &gateway, error);
    (void)close(s);
    return err;
}

int exec_net(const struct exec_guest *guest, int *out_tap, char error[static LINK_ERROR_MAX])
{
    struct tap_device tap;
    char range[32];
    int err;

    set_sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"); /* nobody would answer */
    (void)snprintf(range, sizeof(range), "%u %u", (unsigned)guest->gid, (unsigned)guest->gid);
    set_sysctl("/proc/sys/net/ipv4/ping_group_range", range); /* ping(8) without privileges */
    err = tap_create(EXEC_DEVICE, guest->config->instance.mtu, &tap, error);
    if (err < 0)
        return err;
    (void)lengthen_ring(); /* a shorter one costs speed, not correctness */
    if (!tap.tso4 || !tap.tso6) {
        errno = 0;
        err = exec_fail(error, "this kernel's TAP has no segmentation offload");
    } else {
        err = configure(guest->config, error);
    }
    if (err < 0)
        (void)close(tap.fd);
    else
        *out_tap = tap.fd;
    return err;
}
