/* SPDX-License-Identifier: MIT
 * A stream of bytes to Redis that never blocks: over TCP or a Unix socket, with TLS if the address
 * asks for it. Does not use libuv, so that producers do not need it. Nothing here raises SIGPIPE.
 *
 * Functions that cannot continue return -EAGAIN; call them again when the socket allows what
 * redis_transport_reading_wants or redis_transport_writing_wants returns: with TLS, reading may
 * have to wait until the socket is writable, and the other way round. Any other negative number
 * means that the connection has failed, and `err` says why in one sentence. */
#pragma once

#include <sys/types.h>

#include "error.h"

struct addrinfo;
struct redis_address;
struct redis_transport;

enum { REDIS_WANTS_READABLE = 1, REDIS_WANTS_WRITABLE = 2 };

/* Starts to connect to `to`, one of the addresses of a->host, or to a->unix_path if `to` is NULL.
 * The files for TLS are read now. */
must_use int redis_transport_open(const struct redis_address *a, const struct addrinfo *to,
                                  struct redis_transport **out, struct error *err);
void redis_transport_free(struct redis_transport *t); /* closes the connection; NULL is fine */

/* Continues to connect and to agree on TLS. 0: connected, and reading and writing may begin. While
 * it returns -EAGAIN, redis_transport_reading_wants says what it waits for. */
must_use int redis_transport_connect(struct redis_transport *t, struct error *err);
/* If connecting takes too long: what may explain it, to be appended to a sentence; or "". */
const char *redis_transport_delay(const struct redis_transport *t);

/* Returns the number of bytes; 0: the server has closed the connection. */
must_use ssize_t redis_transport_read(struct redis_transport *t, char *p, size_t room,
                                      struct error *err);
/* True if there may be bytes that have left the socket already, after connecting or after a read
 * that filled its buffer: read again without waiting for the socket. */
bool redis_transport_pending(const struct redis_transport *t);
/* Returns the number of bytes sent, at least 1. After -EAGAIN, the same bytes must be offered
 * again, perhaps followed by more. If the server has closed the connection, this waits for input:
 * the server may have said why, so only reading reports the end. */
must_use ssize_t redis_transport_write(struct redis_transport *t, const char *p, size_t n,
                                       struct error *err);

int redis_transport_fd(const struct redis_transport *t);
unsigned redis_transport_reading_wants(const struct redis_transport *t);
unsigned redis_transport_writing_wants(const struct redis_transport *t);
