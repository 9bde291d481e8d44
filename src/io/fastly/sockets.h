/* SPDX-License-Identifier: MIT
 * The sockets of a sender's loop. libcurl wants a socket to be watched when a request begins and
 * not any more when the last one ends, several times in a turn of the loop, and each time libuv
 * would make two system calls. Here, the wishes are only noted, and epoll is told once, before the
 * loop sleeps, what differs. So a socket may still be watched that libcurl does not want any more,
 * which is why libcurl must open and close its connections' sockets with the functions below. */
#pragma once

#include "base.h"
#include "loop.h"

struct sockets;

/* flags: CURL_CSELECT_IN, _OUT, _ERR. */
typedef void sockets_cb(void *ctx, int fd, int flags);

struct sockets *sockets_new(struct loop *l, sockets_cb *cb, void *ctx);
/* Stops watching. The sockets themselves belong to libcurl, which has closed them before. The loop
 * must still run afterwards. NULL is fine. */
void sockets_free(struct sockets *s);

/* Like socket(2), for CURLOPT_OPENSOCKETFUNCTION. */
int sockets_open(struct sockets *s, int family, int type, int protocol);
/* Like close(2), a CURLOPT_CLOSESOCKETFUNCTION: ctx is the sockets, which outlive every
 * connection. */
int sockets_close(void *ctx, int fd);

/* For CURLMOPT_SOCKETFUNCTION: what is CURL_POLL_IN and so on. Also takes sockets of libcurl's own,
 * such as those of its resolver, which it closes by itself as soon as it has said
 * CURL_POLL_REMOVE. */
void sockets_want(struct sockets *s, int fd, int what);

/* To be called just before a request is written to the connection with this local port. From the
 * second request in a turn of the loop on, the kernel collects them and sends them together, when
 * sockets_apply() is called. */
void sockets_before_request(struct sockets *s, int own_port);

void sockets_apply(struct sockets *s); /* to be called before the loop sleeps */

/* Shuts down a connection on which nothing arrived since then. Other numbers are ignored. */
void sockets_hang_up_if_silent(struct sockets *s, int fd, uint64_t since_ns);
