/* SPDX-License-Identifier: MIT */
#include "fake_cluster.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "fake_link.h"
#include "fake_redis.h"
#include "fakeio_internal.h"

#define MOVES_MAX 8
#define FOUND_LOST_NS (2 * NS_PER_S) /* cluster-node-timeout */
#define TRIES_AGAIN_NS (200 * NS_PER_MS)
#define PORT 6379

struct machine {
    char host[32], id[41];
};

struct place { /* of a node */
    struct machine machines[2];
    char history[41];
    bool lost;
    uint32_t times; /* that its replica has taken its place */
};

struct moving { /* an account's slot */
    bool on;
    char key[100];
    int to;
    uint32_t steps; /* left */
    uint64_t each_ns;
};

static struct {
    struct fakeredis_cluster *cluster; /* NULL: there is none */
    struct place nodes[FAKEREDIS_NODES_MAX];
    struct redis_place places[FAKEREDIS_NODES_MAX]; /* where the nodes were at the beginning */
    struct moving moves[MOVES_MAX];
    int count;
    bool down; /* by the story */
} cl;

/* The node is at one of two machines, and its replica at the other one: machines 0 and 1 are those
 * of node 0. */
static struct fakeredis_node settle_down(int node)
{
    struct place *p = &cl.nodes[node];
    const struct machine *here = &p->machines[p->times % 2],
                         *there = &p->machines[1 - p->times % 2];

    snprintf(p->history, sizeof(p->history), "%020u%019uf", p->times, (unsigned)node);
    return (struct fakeredis_node){.host = here->host,
                                   .port = PORT,
                                   .id = here->id,
                                   .history = p->history,
                                   .replica_host = there->host,
                                   .replica_id = there->id};
}

static struct machine *machine(int m)
{
    return &cl.nodes[m / 2].machines[m % 2];
}

static void name_machines(int node)
{
    for (unsigned i = 0; i < 2; i++) {
        struct machine *m = &cl.nodes[node].machines[i];

        snprintf(m->host, sizeof(m->host), "10.0.%u.%u", i, (unsigned)node + 1);
        snprintf(m->id, sizeof(m->id), "%020u%020u", i, (unsigned)node);
    }
}

void fake_cluster_begin(int nodes)
{
    struct fakeredis_node at[FAKEREDIS_NODES_MAX];

    memset(&cl, 0, sizeof(cl));
    cl.count = nodes;
    if (nodes == 0)
        return;
    for (int i = 0; i < nodes; i++) {
        name_machines(i);
        at[i] = settle_down(i);
        cl.places[i] = (struct redis_place){alloc_str(at[i].host), PORT};
    }
    cl.cluster = fakeredis_cluster_new(at, nodes);
    fakeredis_set_cluster(fake_redis(), cl.cluster, NULL);
}

void fake_cluster_end(void)
{
    if (cl.cluster)
        fakeredis_set_cluster(fake_redis(), NULL, NULL);
    fakeredis_cluster_free(cl.cluster);
    for (int i = 0; i < cl.count; i++)
        free(cl.places[i].host);
    memset(&cl, 0, sizeof(cl));
}

bool fake_cluster_is(void)
{
    return cl.cluster != NULL;
}

void fake_cluster_address(struct redis_address *a)
{
    a->cluster = fake_cluster_is();
    a->nodes = cl.places;
    a->nodes_count = (uint32_t)cl.count;
}

int fake_cluster_named(const char *node)
{
    int i = node[0] - 'a';

    return node[0] && !node[1] && i >= 0 && i < cl.count ? i : -1;
}

int fake_cluster_machine(const char *host)
{
    for (int i = 0; i < 2 * cl.count; i++)
        if (strcmp(machine(i)->host, host) == 0)
            return i;
    base_abort("nobody has this address", __FILE__, __LINE__);
}

/* Whether the node is there, and not its replica. */
static bool has_node(int m)
{
    return m % 2 == (int)(cl.nodes[m / 2].times % 2);
}

bool fake_cluster_answers(int m)
{
    return !(has_node(m) && cl.nodes[m / 2].lost);
}

struct fakeredis_session *fake_cluster_open(int m)
{
    return fakeredis_open_at(fake_redis(), m / 2,
                             has_node(m) ? FAKEREDIS_MASTER : FAKEREDIS_REPLICA);
}

/* -- how it is -- */

static bool any_lost(void)
{
    for (int i = 0; i < cl.count; i++)
        if (cl.nodes[i].lost)
            return true;
    return false;
}

static void set_down(bool down)
{
    fakeredis_cluster_set_down(cl.cluster, down);
    if (down)
        fake_link_moved();
}

bool fake_cluster_serves(void)
{
    return !cl.down && !any_lost();
}

/* Those who connect for a moment find all nodes well, or nobody. */
static void serve(void)
{
    if (!fake_redis_weather.away)
        fakeio_serve(fake_cluster_serves() ? fake_redis() : NULL);
}

/* -- moving a slot -- */

static void on_step(void *ctx);

static void go_on(struct moving *m, uint64_t delay_ns)
{
    engine_at(engine_now_ns() + delay_ns, ENGINE_NOBODY, on_step, m);
}

static void on_step(void *ctx)
{
    struct moving *m = ctx;
    struct span key = span_str(m->key);
    size_t left = fakeredis_move_keys(fake_redis(), key, 0);

    if (any_lost()) {
        go_on(m, TRIES_AGAIN_NS);
    } else if (m->steps) {
        left = fakeredis_move_keys(fake_redis(), key, (left + m->steps - 1) / m->steps);
        trace("redis: keys of %s move to node %c, %zu are left", m->key, 'a' + m->to, left);
        m->steps--;
        go_on(m, m->each_ns);
    } else {
        fakeredis_move_end(fake_redis(), key);
        trace("redis: %s is at node %c", m->key, 'a' + m->to);
        m->on = false;
        fake_link_moved();
    }
}

void fake_cluster_move(const char *account, int to, uint32_t steps, uint64_t over_ns)
{
    struct moving *m = cl.moves;

    while (m < cl.moves + MOVES_MAX && m->on)
        m++;
    must(m < cl.moves + MOVES_MAX);
    *m = (struct moving){.to = to, .steps = steps, .each_ns = over_ns / (steps ? steps : 1)};
    snprintf(m->key, sizeof(m->key), "purgeline:{%s}:", account);
    if (!fakeredis_move_begin(cl.cluster, span_str(m->key), to)) {
        trace("redis: %s is at node %c already, or moves", m->key, 'a' + to);
        return;
    }
    m->on = true;
    go_on(m, steps ? 0 : over_ns);
}

/* -- nodes that are lost -- */

void fake_cluster_set_down(bool down)
{
    cl.down = down;
    set_down(down || any_lost());
    serve();
}

static void on_found_lost(void *ctx)
{
    struct place *p = ctx;

    if (p->lost && fake_cluster_is())
        set_down(true);
}

void fake_cluster_lose(int node)
{
    if (cl.nodes[node].lost)
        return;
    cl.nodes[node].lost = true;
    fake_link_break_machine(2 * node + (int)(cl.nodes[node].times % 2), "the node is lost");
    engine_at(engine_now_ns() + FOUND_LOST_NS, ENGINE_NOBODY, on_found_lost, &cl.nodes[node]);
    serve();
}

static void promote_replica(int node)
{
    struct fakeredis_node at;

    fake_link_break_machine(2 * node, "a replica takes the place of a node");
    fake_link_break_machine(2 * node + 1, "a replica takes the place of a node");
    cl.nodes[node].lost = false;
    cl.nodes[node].times++;
    at = settle_down(node);
    fakeredis_node_starts(cl.cluster, node, &at);
}

void fake_cluster_replace(int node)
{
    if (!cl.nodes[node].lost)
        return;
    promote_replica(node);
    set_down(cl.down || any_lost());
    serve();
}

void fake_cluster_heal(void)
{
    for (int i = 0; i < cl.count; i++)
        fake_cluster_replace(i);
    if (fake_cluster_is())
        fake_cluster_set_down(false);
}

void fake_cluster_adopt(struct fakeredis *f, const struct fakeredis *before)
{
    if (!fake_cluster_is())
        return;
    fakeredis_set_cluster(f, cl.cluster, before);
    for (int i = 0; i < cl.count; i++)
        promote_replica(i);
    set_down(cl.down);
}
