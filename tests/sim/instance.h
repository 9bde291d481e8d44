/* SPDX-License-Identifier: MIT
 * Running daemons: the real dispatch of each account, ticked by virtual time. An instance is what
 * daemon.c is in the program: it starts, ticks when woken, stops, reloads; and it can be killed or
 * frozen between any two steps. */
#pragma once

#include "config.h"
#include "dispatch.h"
#include "queue.h"

#define INSTANCES_MAX 8

void instance_begin(void);
void instance_end(void); /* kills what runs */

/* The number of that name, which need not run yet. */
int instance_find(const char *name);
const char *instance_name(int i);
int instance_of_identity(const char *identity);

/* `c` is lent until instance_end. Instances of one host can tell that another one there is dead. */
void instance_start(int i, const char *host, const struct config *c);
void instance_kill(int i);                           /* soon: within this moment. From anywhere */
void instance_kill_now(int i);                       /* not from within what it runs */
void instance_stop(int i);                           /* SIGTERM */
void instance_freeze(int i);                         /* SIGSTOP */
void instance_thaw(int i);                           /* SIGCONT */
void instance_reload(int i, const struct config *c); /* SIGHUP */

const struct config *instance_config(int i);
bool instance_runs(int i);
bool instance_troubled(int i, char *why, size_t room); /* says that Redis refuses */
bool instance_frozen(int i);
bool instance_doomed(int i); /* its kill is under way */
bool instance_dying(void);   /* what a killed one still says is said by nobody */
typedef void instance_died_cb(int i);
void instance_on_death(instance_died_cb *cb); /* told of every kill, when it is over */
