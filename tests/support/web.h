/* SPDX-License-Identifier: MIT
 * A web server for tests: an nginx of its own on free loopback ports, with a certificate authority
 * of its own. PURGE requests are written into `log`, a line each. What it answers is asked for by
 * a header line, or by the query ("?do=status+429"):
 *
 *   (none)              200; the reply says what arrived: "<method> <target> <protocol>\n", the
 * header lines in lower case and sorted, an empty line, the body X-Do: status 429    that status,
 * with Retry-After: 7 and both Fastly-RateLimit headers X-Do: redirect      302 to /elsewhere X-Do:
 * sleep 200     answers after 200 ms X-Do: cut           a part of the promised reply, then the
 * connection is cut X-Do: bytes 5000    a reply of so many bytes */
#pragma once

#include <sys/types.h>

#include "base.h"

struct web {
    pid_t pid;
    char dir[64];
    char ca[96];       /* what its certificate is signed with */
    char other_ca[96]; /* an authority it has nothing to do with */
    char log[96];      /* "<port> <protocol> <target> key=<Fastly-Key or -> agent=<User-Agent>" */
    uint16_t h2;       /* TLS */
    uint16_t h1;       /* TLS, HTTP/1.1 only */
    uint16_t hasty;    /* TLS, h2: closes connections that are idle for 20 ms */
    uint16_t few;      /* TLS, h2: ends a connection after 20 requests */
    uint16_t plain;    /* no TLS */
    uint16_t nobody;   /* nothing listens there */
};

void web_start(struct web *w);
void web_stop(struct web *w);
