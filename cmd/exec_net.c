/*
 * The guest's network: loopback, and one TAP with an address, a default route, and nothing else. The same as a virtual
 * machine would be given by DHCP.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ipv6.h>
#include <linux/rtnetlink.h>

#include "base/sockaddr.h"
#include "cmd/exec.h"

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

/* ---- IPv4 ---- */

static int set_addr4(int s, unsigned long what, const struct addr *a, char error[static LINK_ERROR_MAX])
{
    struct ifreq ifr = request(EXEC_DEVICE);
    struct sockaddr_storage whole;

    memcpy(&ifr.ifr_addr, &whole, sockaddr_from(a, 0, &whole));
    return ioctl(s, what, &ifr) < 0 ? exec_fail(error, "cannot give " EXEC_DEVICE " its address") : 0;
}

static int set_default_route4(int s, const struct addr *gateway, char error[static LINK_ERROR_MAX])
{
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    struct addr zero = addr_v4(0);
    struct sockaddr_storage any, via;
    socklen_t len = sockaddr_from(&zero, 0, &any);

    (void)sockaddr_from(gateway, 0, &via);
    memcpy(&route.rt_dst, &any, len);
    memcpy(&route.rt_genmask, &any, len);
    memcpy(&route.rt_gateway, &via, len);
    return ioctl(s, SIOCADDRT, &route) < 0 ? exec_fail(error, "cannot set the default route") : 0;
}

static int configure4(int s, const struct network *net, char error[static LINK_ERROR_MAX])
{
    struct addr own = network_guest(net, 0), mask = addr_v4(UINT32_MAX << (32 - net->net.bits));
    int err = 0;

    if (net->net.base.family == ADDR_NONE)
        return 0;
    err = set_addr4(s, SIOCSIFADDR, &own, error);
    if (err == 0)
        err = set_addr4(s, SIOCSIFNETMASK, &mask, error);
    return err == 0 ? set_default_route4(s, &net->gateway, error) : err;
}

/* ---- IPv6 ---- */

/*
 * By rtnetlink(7), for IFA_F_NODAD: an address that SIOCSIFADDR gives is tentative until a work queue of the kernel's
 * has looked at it, and a command that is quicker would send from its link-local one.
 *
 * Return: 0, or -1 with errno.
 */
static int add_addr6(const struct addr *own, unsigned ifindex)
{
    struct {
        struct nlmsghdr head;
        struct ifaddrmsg addr;
        struct rtattr attr;
        uint8_t bytes[16];
    } request = {
        .head = {
            .nlmsg_len = sizeof(request),
            .nlmsg_type = RTM_NEWADDR,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        },
        .addr = {
            .ifa_family = AF_INET6,
            .ifa_prefixlen = NETWORK_BITS6_MAX,
            .ifa_flags = IFA_F_NODAD,
            .ifa_index = ifindex,
        },
        .attr = {.rta_len = RTA_LENGTH(16), .rta_type = IFA_LOCAL},
    };
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        uint8_t echoed[sizeof(request)];
    } answer = {.error.error = -EIO};
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (s < 0)
        return -1;
    memcpy(request.bytes, own->bytes, sizeof(request.bytes));
    if (send(s, &request, sizeof(request), 0) == (ssize_t)sizeof(request) && recv(s, &answer, sizeof(answer), 0) > 0 &&
        answer.head.nlmsg_type == NLMSG_ERROR)
        errno = -answer.error.error;
    (void)close(s);
    return answer.error.error == 0 ? 0 : -1;
}

/* A host without IPv6 has none to give: the guest does without. */
static int configure6(const struct network *net, char error[static LINK_ERROR_MAX])
{
    unsigned ifindex = if_nametoindex(EXEC_DEVICE);
    struct in6_rtmsg route = {
        .rtmsg_flags = RTF_UP | RTF_GATEWAY,
        .rtmsg_metric = 1024,
        .rtmsg_ifindex = (int)ifindex,
    };
    struct addr own = network_guest(net, 0);
    int s = net->net.base.family == ADDR_NONE ? -1 : socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

    if (s < 0)
        return 0;
    memcpy(&route.rtmsg_gateway, net->gateway.bytes, sizeof(route.rtmsg_gateway));
    if (add_addr6(&own, ifindex) < 0)
        err = exec_fail(error, "cannot give " EXEC_DEVICE " its IPv6 address");
    else if (ioctl(s, SIOCADDRT, &route) < 0)
        err = exec_fail(error, "cannot set the default route of IPv6");
    (void)close(s);
    return err;
}

/* Before there is a device: what it needs is set here, at once and for good, and nothing has to be waited for. */
static void prepare6(const struct network *net)
{
    if (net->net.base.family == ADDR_NONE) {
        set_sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"); /* nobody would answer */
        return;
    }
    set_sysctl("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    set_sysctl("/proc/sys/net/ipv6/conf/default/accept_ra", "0");
}

static int configure(const struct config *c, const struct networks *nets, char error[static LINK_ERROR_MAX])
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

    if (s < 0)
        return exec_fail(error, "cannot configure the network");
    err = bring_up(s, "lo", error);
    if (err == 0)
        err = set_mac(s, c, error);
    if (err == 0)
        err = configure4(s, &nets->v4, error);
    if (err == 0)
        err = configure6(&nets->v6, error);
    (void)close(s);
    return err;
}

int exec_net(const struct exec_guest *guest, struct tap_device *out_tap, char error[static LINK_ERROR_MAX])
{
    const struct instance_config *in = &guest->config->instance;
    struct networks nets = networks_plan(&in->net4, &in->net6);
    struct tap_device tap;
    char range[32];
    int err;

    prepare6(&nets.v6);
    (void)snprintf(range, sizeof(range), "%u %u", (unsigned)guest->gid, (unsigned)guest->gid);
    set_sysctl("/proc/sys/net/ipv4/ping_group_range", range); /* ping(8) without privileges */
    err = tap_create(EXEC_DEVICE, in->mtu, &tap, error);
    if (err < 0)
        return err;
    err = configure(guest->config, &nets, error);
    if (err < 0)
        tap_release(&tap);
    else
        *out_tap = tap;
    return err;
}
