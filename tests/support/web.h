/* SPDX-License-Identifier: MIT
 * A web server for tests: nginx on free loopback ports, with its own certificate authority. PURGE
 * requests are written to `log`, one per line. A header line or the query ("?do=status+429")
 * chooses the response:
 *
 *   (none)            200; the body repeats the request: "<method> <target> <protocol>\n",
 *                     the header lines in lower case and sorted, an empty line, the body
 *   X-Do: status 429  this status, with Retry-After: 7 and both Fastly-RateLimit headers
 *   X-Do: redirect    302 to /elsewhere
 *   X-Do: sleep 200   answers after 200 ms
 *   X-Do: cut         sends a part of the promised response, then closes the connection
 *   X-Do: bytes 5000  a response of 5000 bytes */
#pragma once

#include <sys/types.h>

#include "base.h"

struct web {
    pid_t pid;
    char dir[64];
    char ca[96];       /* the CA of its certificate */
    char other_ca[96]; /* another CA */
    char log[96];      /* "<port> <protocol> <target> key=<Fastly-Key or -> agent=<User-Agent>" */
    uint16_t h2;       /* TLS */
    uint16_t h1;       /* TLS, only HTTP/1.1 */
    uint16_t hasty;    /* TLS, h2: closes connections that are idle for 20 ms */
    uint16_t few;      /* TLS, h2: ends a connection after 20 requests */
    uint16_t plain;    /* no TLS */
    uint16_t nobody;   /* no server listens on it */
};

void web_start(struct web *w);
void web_stop(struct web *w);
