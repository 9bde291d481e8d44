/* SPDX-License-Identifier: MIT
 * Messages to the service manager that started this process: that it is ready, what it is doing,
 * that it is still making progress. systemd's protocol is stable and a datagram per message:
 * https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html */
#pragma once

#include "base.h"

struct notify;

/* NULL if no service manager wants to be told. Takes the manager's variables out of the
 * environment, so that no child speaks in our name. */
struct notify *notify_new(void);
void notify_free(struct notify *n); /* NULL is fine */

/* How often, at least, the manager wants to hear NOTIFY_PROGRESS; otherwise it kills this process
 * and starts another one. 0: it does not watch. */
uint64_t notify_watchdog_ns(const struct notify *n);

#define NOTIFY_PROGRESS "WATCHDOG=1"

/* Sends "READY=1", or several assignments with a line break between them. A message that the
 * manager does not take at once is lost: nothing here may wait for it. NULL is fine. */
void notify_send(const struct notify *n, const char *assignments);
