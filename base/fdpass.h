/*
 * A message of fixed size over a unix socket, with at most one descriptor along (SCM_RIGHTS, unix(7)).
 */
#ifndef WEIR_BASE_FDPASS_H
#define WEIR_BASE_FDPASS_H

#include <stddef.h>

/**
 * Send @len bytes (> 0) of @message in one piece; waits where the socket blocks.
 *
 * @fd: goes along and stays open here; -1: none goes
 *
 * Return: 0, or -errno. A reader that is gone is -EPIPE, never a signal.
 */
int fdpass_send(int s, const void *message, size_t len, int fd);

/**
 * Receive what one fdpass_send() of @len bytes sent; waits where the socket blocks.
 *
 * @out_message: @len bytes; may be written to on failure as well
 * @out_fd:      owned by the caller, close-on-exec; -1 when none came along
 *
 * Return: 0; -EPIPE when the sender is gone; -EBADMSG for a message of another length or with more than one
 * descriptor, of which none stays open; else -errno.
 */
int fdpass_receive(int s, void *out_message, size_t len, int *out_fd);

#endif
