/* SPDX-License-Identifier: MIT
 * A network of the test's own between purgeline and the sandbox, that can be cut: two network
 * namespaces and a cable (veth) between them. It ends with the process, however that ends.
 *
 *     near                          far                 the machine's own
 *   ┌───────────────┐  cable   ┌────────────┐        ┌─────────────────────┐
 *   │ purgeline     ├──────────┤ relay's ear│─ relay ┤ sandbox, 127.0.0.1  │
 *   └───────────────┘          └────────────┘        └─────────────────────┘
 *
 * The sandbox listens on loopback only; a relay whose listening socket is in the one namespace and
 * whose other sockets are in the other takes the bytes across. In the mount namespace of this
 * process api.fastly.com, which the sandbox has a certificate for, is the relay's ear. Whatever
 * goes wrong after weather_net_open() fails the test. */
#pragma once

#include "base.h"

struct weather_net;

enum weather_cut {
    CUT_NONE,
    CUT_NEAR,    /* our own link is down: no route */
    CUT_FAR,     /* the other end is down: silence */
    CUT_REPLIES, /* what we send arrives, no answer comes back */
    CUT_N
};
extern const char *const weather_cut_names[CUT_N];

/* `api`: https://127.0.0.1:port. After weather_mounts_hide(). NULL, and why, when this machine does
 * not let us. */
struct weather_net *weather_net_open(const char *api, const char **why);
void weather_net_close(struct weather_net *n); /* NULL is fine */
/* What reaches `api` from the near namespace. */
const char *weather_net_api(const struct weather_net *n);
/* Processes started in between live in the near namespace. NULL is fine. */
void weather_net_enter(struct weather_net *n);
void weather_net_leave(struct weather_net *n);
void weather_net_cut(struct weather_net *n, enum weather_cut cut);
