/*
 * A connected stream of the host's, beside what libuv has for it: the same for a dialled connection, an accepted one
 * and a unix socket.
 */
#ifndef WEIR_PROXY_HOST_STREAM_H
#define WEIR_PROXY_HOST_STREAM_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <uv.h>

/**
 * Read at once: only while uv_read_start() is not in force.
 *
 * Return: bytes (> 0); 0 the peer sent FIN; -EAGAIN nothing there now; else -errno.
 */
ssize_t host_stream_readv(const uv_stream_t *stream, const struct iovec *iov, int iovcnt);

/**
 * How the stream of which libuv said UV_EOF has really ended: on POLLHUP behind a short read it says so without
 * looking, also when the peer sent RST.
 *
 * Return: UV_EOF, or the negative errno of a reset.
 */
int host_stream_end(const uv_stream_t *stream);

/**
 * Ask a silent peer whether it is still there: after @idle_ms, eight times, so that a dead one is seen after twice
 * that. Whole seconds count; below one: never. Best effort.
 */
void host_stream_keepalive(const uv_stream_t *stream, uint32_t idle_ms);

/** Let the coming uv_close() send RST (SO_LINGER 0: uv_tcp_close_reset() fails while a shutdown is queued). */
void host_stream_reset_on_close(const uv_stream_t *stream);

#endif
