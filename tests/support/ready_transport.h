/* SPDX-License-Identifier: MIT
 * Half of a transport to Redis that tests use instead of io's: it connects at once and is always
 * ready. To be included in one file of a program, which defines struct redis_transport before, with
 * a member `fd` that can always be read and written, and the other functions. */
#pragma once

#include "redis_transport.h"

int redis_transport_connect(struct redis_transport *t, struct error *err)
{
    (void)t, (void)err;
    return 0;
}

const char *redis_transport_delay(const struct redis_transport *t)
{
    (void)t;
    return "";
}

int redis_transport_fd(const struct redis_transport *t)
{
    return t->fd;
}

unsigned redis_transport_reading_wants(const struct redis_transport *t)
{
    (void)t;
    return REDIS_WANTS_READABLE;
}

unsigned redis_transport_writing_wants(const struct redis_transport *t)
{
    (void)t;
    return REDIS_WANTS_WRITABLE;
}
