/* SPDX-License-Identifier: MIT
 * A Redis Cluster in place of the one Redis: nodes on machines of their own, which are lost and
 * come back, and slots that are moved from node to node. The rules by which nodes redirect are in
 * tests/fakeredis/cluster.c. */
#pragma once

#include "fakeredis.h"
#include "redis.h"

void fake_cluster_begin(int nodes); /* after fake_redis_begin; 0: there is no Cluster */
void fake_cluster_end(void);        /* before fake_redis_end */
bool fake_cluster_is(void);
void fake_cluster_address(struct redis_address *a); /* adds the nodes, which are lent */
int fake_cluster_named(const char *node);           /* "a" is 0 ...; -1: there is none */

/* -- for connections -- */
#define FAKE_CLUSTER_NO_MACHINE (-1)
int fake_cluster_machine(const char *host); /* there is a node or its replica */
bool fake_cluster_answers(int machine);
struct fakeredis_session *fake_cluster_open(int machine);

/* -- for producers, who follow redirects without fault -- */
bool fake_cluster_serves(void); /* also: there is no Cluster */

/* -- what happens to it -- */
/* Moves an account's slot: its keys in so many steps, the first at once, and at the end of the time
 * the slot itself. 0 steps: all at the end. */
void fake_cluster_move(const char *account, int to, uint32_t steps, uint64_t over_ns);
void fake_cluster_set_down(bool down); /* there is no quorum */
/* Its connections break. If it does not come back soon, the Cluster is down. */
void fake_cluster_lose(int node);
/* Its replica has its place, on another machine; a move that it was part of goes on. */
void fake_cluster_replace(int node);
void fake_cluster_heal(void);
/* fake_redis_fail: of each node, a replica has its place. The keys are at the same nodes as before.
 */
void fake_cluster_adopt(struct fakeredis *f, const struct fakeredis *before);
