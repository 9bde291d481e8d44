/* SPDX-License-Identifier: MIT
 * A separate network between purgeline and the sandbox that can be cut. It consists of two network
 * namespaces with a cable (veth) between them, and ends with the process.
 *
 *     near                          far                 the machine's own
 *   ┌───────────────┐  cable   ┌────────────┐        ┌─────────────────────┐
 *   │ purgeline     ├──────────┤ relay's ear│─ relay ┤ sandbox, 127.0.0.1  │
 *   └───────────────┘          └────────────┘        └─────────────────────┘
 *
 * The sandbox listens only on loopback. A relay, whose listening socket ("ear") is in one namespace
 * and whose other sockets are in the other, forwards the bytes. In the mount namespace of this
 * process, the name api.fastly.com, for which the sandbox has a certificate, leads to the relay's
 * listening socket. Any error after weather_net_open() fails the test. */
#pragma once

#include "base.h"

struct weather_net;

enum weather_cut {
    CUT_NONE,
    CUT_NEAR,    /* our own link is down: there is no route */
    CUT_FAR,     /* the other end is down: no packet is answered */
    CUT_REPLIES, /* our packets arrive, but no answer comes back */
    CUT_N
};
extern const char *const weather_cut_names[CUT_N];

/* `api`: https://127.0.0.1:port. Call weather_mounts_hide() first. Returns NULL and a reason if
 * this machine does not permit it. */
struct weather_net *weather_net_open(const char *api, const char **why);
void weather_net_close(struct weather_net *n); /* NULL is fine */
/* The address of `api` in the near namespace. */
const char *weather_net_api(const struct weather_net *n);
/* Processes started between these calls run in the near namespace. NULL is fine. */
void weather_net_enter(struct weather_net *n);
void weather_net_leave(struct weather_net *n);
void weather_net_cut(struct weather_net *n, enum weather_cut cut);
