/*
 * TAP devices, opened and set up. No loop, no link: `weir exec` makes one in its guest's namespace,
 * link_tap.c all others.
 */
#ifndef WEIR_DATAPATH_TAP_H
#define WEIR_DATAPATH_TAP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TAP_NAME_MAX = 15,   /* bytes of a device's name: the kernel's IFNAMSIZ - 1 */
    TAP_NETNS_MAX = 255,
    TAP_ERROR_MAX = 768,
};

struct tap_device {
    int fd;          /* -1: none */
    int bulk_fd;     /* its second queue, not attached yet; -1: it has none */
    bool tso4, tso6; /* offloads the kernel agreed to */
    bool uso;        /* and UDP segmentation (Linux 6.2) */
    bool ring_set;   /* its transmit queue could be lengthened */
};

/**
 * Open or create a TAP of that name in this process's network namespace, with a virtio-net header of 12
 * bytes, and set it up: MTU, length of its ring, up.
 *
 * One that is created has two queues (Documentation/networking/tuntap.rst, "Multiqueue"). With both attached the
 * kernel puts a flow's frames into the one through which we last wrote a frame of that flow, and those of a flow we
 * have not answered into either: until there is bulk data one serves all, and their order is the guest's.
 *
 * @device:  1 to TAP_NAME_MAX bytes
 * @out_tap: the descriptors are the caller's, non-blocking and close-on-exec
 *
 * Return: 0, or -errno with @error filled.
 */
int tap_create(const char *device, uint16_t mtu, struct tap_device *out_tap, char error[static TAP_ERROR_MAX]);

bool tap_attach_bulk(const struct tap_device *tap); /* from now on its second queue is used, too */
void tap_release(struct tap_device *tap); /* close what is open of it */

/** Send a device over a unix socket that keeps messages apart; it stays open here. Return: 0, or -errno. */
int tap_pass(int s, const struct tap_device *tap);

/** Receive one. Return: 0; or -errno, and nothing of it is open. */
int tap_receive(int s, struct tap_device *out_tap);

/**
 * The same in another namespace, by a child process that passes the descriptors back. Only while this process
 * has one thread.
 *
 * @netns: a path, or the id of a process that is there; at most TAP_NETNS_MAX bytes
 */
int tap_create_in(const char *netns, const char *device, uint16_t mtu, struct tap_device *out_tap,
                  char error[static TAP_ERROR_MAX]);

#endif
