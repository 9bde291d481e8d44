/* SPDX-License-Identifier: MIT
 * Which commands a node of a Cluster carries out, and what it says to the others: the rules of
 * https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ as Redis 7.0 has them.
 * The data of all nodes is in one place; of each key it is known which node has it. */
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"
#include "redis_slot.h"

#define MOVES_MAX 16
#define NO_CLUSTER "ERR This instance has cluster support disabled"
#define NOT_HERE "ERR Script attempted to access a non local key in a cluster node"
#define DOWN_IN_SCRIPT "ERR Script attempted to execute a command while the cluster is down"
#define CROSSED_IN_SCRIPT "ERR Script attempted to access keys that do not hash to the same slot"

struct move { /* a slot that is being moved */
    bool on;
    unsigned slot;
    int from, to;
};

struct fakeredis_cluster {
    struct fakeredis_node nodes[FAKEREDIS_NODES_MAX];
    uint64_t scripts[FAKEREDIS_NODES_MAX]; /* another number when a node has forgotten them */
    uint64_t restarts;
    int count;
    unsigned char owner[FAKEREDIS_SLOTS];
    struct move moves[MOVES_MAX];
    bool down;
};

struct fakeredis_cluster *fakeredis_cluster_new(const struct fakeredis_node *nodes, int count)
{
    struct fakeredis_cluster *c = alloc_zeroed(1, sizeof(*c));

    must(count > 0 && count <= FAKEREDIS_NODES_MAX);
    c->count = count;
    for (int i = 0; i < count; i++)
        fakeredis_node_starts(c, i, &nodes[i]);
    for (unsigned slot = 0; slot < FAKEREDIS_SLOTS; slot++)
        c->owner[slot] = (unsigned char)(slot * (unsigned)count / FAKEREDIS_SLOTS);
    return c;
}

void fakeredis_cluster_free(struct fakeredis_cluster *c)
{
    free(c);
}

void fakeredis_node_starts(struct fakeredis_cluster *c, int node, const struct fakeredis_node *at)
{
    c->nodes[node] = *at;
    c->scripts[node] = ++c->restarts;
}

uint64_t cluster_scripts(const struct fakeredis_session *s)
{
    return s->node == FAKEREDIS_NO_NODE ? 0 : s->f->cluster->scripts[s->node];
}

const char *cluster_history(const struct ask *a)
{
    if (a->s->node == FAKEREDIS_NO_NODE)
        return a->f->history;
    return a->f->cluster->nodes[a->s->node].history;
}

void fakeredis_cluster_set_down(struct fakeredis_cluster *c, bool down)
{
    c->down = down;
}

int fakeredis_owner(const struct fakeredis_cluster *c, struct span key)
{
    return c->owner[redis_slot_of(key)];
}

/* -- moving a slot -- */

static struct move *move_of(const struct fakeredis_cluster *c, unsigned slot)
{
    for (size_t i = 0; i < MOVES_MAX; i++)
        if (c->moves[i].on && c->moves[i].slot == slot)
            return (struct move *)&c->moves[i];
    return NULL;
}

bool fakeredis_move_begin(struct fakeredis_cluster *c, struct span key, int to)
{
    unsigned slot = redis_slot_of(key);
    size_t i = 0;

    if (c->owner[slot] == to || move_of(c, slot))
        return false;
    while (i < MOVES_MAX && c->moves[i].on)
        i++;
    must(i < MOVES_MAX);
    c->moves[i] = (struct move){true, slot, c->owner[slot], to};
    return true;
}

static void move_value(struct fakeredis *f, struct value *v, int to)
{
    v->node = to;
    sessions_touch(f, bytes_span(v->name));
}

void fakeredis_move_key(struct fakeredis *f, struct span key)
{
    const struct move *m = move_of(f->cluster, redis_slot_of(key));
    struct value *v = value_find(f, key);

    if (m && v && v->node != m->to)
        move_value(f, v, m->to);
}

size_t fakeredis_move_keys(struct fakeredis *f, struct span key, size_t count)
{
    unsigned slot = redis_slot_of(key);
    const struct move *m = move_of(f->cluster, slot);
    size_t left = 0;

    map_each(at, &f->keys)
    {
        struct value *v = at->value;

        if (!m || v->node == m->to || redis_slot_of(bytes_span(v->name)) != slot)
            continue;
        if (count) {
            count--;
            move_value(f, v, m->to);
        } else {
            left++;
        }
    }
    return left;
}

void fakeredis_move_end(struct fakeredis *f, struct span key)
{
    unsigned slot = redis_slot_of(key);
    struct move *m = move_of(f->cluster, slot);

    if (!m)
        return;
    must(fakeredis_move_keys(f, key, SIZE_MAX) == 0);
    f->cluster->owner[slot] = (unsigned char)m->to;
    m->on = false;
}

bool cluster_same_node(const struct fakeredis *f, const struct fakeredis_session *s)
{
    int node = f->serving ? f->serving->node : FAKEREDIS_NO_NODE;

    return node == FAKEREDIS_NO_NODE || s->node == FAKEREDIS_NO_NODE || s->node == node;
}

bool cluster_sees(const struct fakeredis *f, const struct value *v)
{
    const struct fakeredis_session *s = f->serving;

    return !s || s->node == FAKEREDIS_NO_NODE || s->node == v->node;
}

/* Where Redis' clients would make a key that does not exist. */
int cluster_place(const struct fakeredis *f, struct span key)
{
    const struct move *m;

    if (!f->cluster)
        return FAKEREDIS_NO_NODE;
    if (f->serving && f->serving->node != FAKEREDIS_NO_NODE)
        return f->serving->node;
    m = move_of(f->cluster, redis_slot_of(key));
    return m ? m->to : fakeredis_owner(f->cluster, key);
}

void fakeredis_set_cluster(struct fakeredis *f, struct fakeredis_cluster *c,
                           const struct fakeredis *from)
{
    f->cluster = c;
    map_each(at, &f->keys)
    {
        struct value *v = at->value;
        const struct value *other = from ? map_get(&from->keys, bytes_span(v->name)) : NULL;

        v->node = other ? other->node : cluster_place(f, bytes_span(v->name));
    }
}

/* -- which arguments of a command are keys -- */

struct range {
    size_t from, to; /* equal: none */
};

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static struct range keys_of_xread(size_t argc, const struct span *argv)
{
    for (size_t i = 1; i < argc; i++)
        if (span_eq_nocase(argv[i], SPAN("STREAMS")))
            return (struct range){i + 1, i + 1 + (argc - i - 1) / 2};
    return (struct range){0, 0};
}

static struct range keys_of_script(size_t argc, const struct span *argv)
{
    int64_t n;

    if (!span_to_i64(argv[2], &n) || n < 0 || n > (int64_t)argc - 3)
        return (struct range){0, 0};
    return (struct range){3, 3 + (size_t)n};
}

static struct range keys_of(const struct command *c, size_t argc, const struct span *argv)
{
    static const char *const none[] = {"ping",
                                       "auth",
                                       "select",
                                       "client",
                                       "time",
                                       "role",
                                       "info",
                                       "wait",
                                       "keys",
                                       "config",
                                       "publish",
                                       "scan",
                                       "subscribe",
                                       "flushall",
                                       "multi",
                                       "exec",
                                       "discard",
                                       "unwatch",
                                       "script",
                                       "asking",
                                       "cluster|slots",
                                       "cluster|keyslot",
                                       NULL};
    static const char *const all[] = {"del", "exists", "mget", "watch", NULL};
    static const char *const second[] = {"memory", "xinfo", "xgroup|create", "xgroup|setid", NULL};

    if (is_one_of(c->name, none))
        return (struct range){0, 0};
    if (is_one_of(c->name, all))
        return (struct range){1, argc};
    if (is_one_of(c->name, second))
        return argc > 2 ? (struct range){2, 3} : (struct range){0, 0};
    if (strcmp(c->name, "xread") == 0)
        return keys_of_xread(argc, argv);
    if (strcmp(c->name, "eval") == 0 || strcmp(c->name, "evalsha") == 0)
        return keys_of_script(argc, argv);
    return (struct range){1, strncmp(c->name, "rename", 6) == 0 ? 3 : 2};
}

/* -- what a node says to it -- */

enum verdict { SERVED, CROSSED, DOWN, UNSTABLE, ASK, MOVED };

struct look {          /* at the keys of a command, or of a transaction */
    struct span first; /* p NULL: none so far */
    unsigned slot;
    bool crossed, several;
    bool leaving, coming; /* the slot is being moved from here, or to here */
    const struct move *move;
    size_t missing, existing;
};

static void look_at_first(const struct fakeredis_session *s, struct look *l, struct span key)
{
    const struct fakeredis_cluster *c = s->f->cluster;

    l->first = key;
    l->slot = redis_slot_of(key);
    l->move = move_of(c, l->slot);
    l->leaving = l->move && l->move->from == s->node;
    l->coming = l->move && l->move->to == s->node;
}

static void look_at_key(const struct fakeredis_session *s, struct look *l, struct span key)
{
    const struct value *v;

    if (!l->first.p)
        look_at_first(s, l, key);
    else if (redis_slot_of(key) != l->slot)
        l->crossed = true;
    else if (!span_eq(key, l->first))
        l->several = true;
    if (l->crossed || !(l->leaving || l->coming))
        return;
    v = value_find(s->f, key);
    if (v)
        l->existing++;
    else
        l->missing++;
}

static void look_at(const struct fakeredis_session *s, struct look *l, const struct command *c,
                    size_t argc, const struct span *argv)
{
    struct range keys = keys_of(c, argc, argv);

    for (size_t i = keys.from; i < keys.to; i++)
        look_at_key(s, l, argv[i]);
}

static void look_at_queued(const struct fakeredis_session *s, struct look *l)
{
    for (size_t i = 0; i < s->queued_count; i++) {
        const struct queued *q = &s->queued[i];
        struct span *argv = alloc_zeroed(q->argc, sizeof(*argv));

        for (size_t k = 0; k < q->argc; k++)
            argv[k] = bytes_span(q->argv[k]);
        look_at(s, l, fakeredis_command(q->argc, argv), q->argc, argv);
        free(argv);
    }
}

static enum verdict judge(const struct fakeredis_session *s, const struct look *l)
{
    const struct fakeredis_cluster *c = s->f->cluster;

    if (!l->first.p)
        return SERVED;
    if (l->crossed)
        return CROSSED;
    if (c->down)
        return DOWN;
    if (s->role == FAKEREDIS_REPLICA)
        return MOVED;
    if (l->leaving && l->missing)
        return l->existing ? UNSTABLE : ASK;
    if (l->coming && s->asking)
        return l->several && l->missing ? UNSTABLE : SERVED;
    return c->owner[l->slot] == s->node ? SERVED : MOVED;
}

static void say_redirect(struct ask *a, enum verdict v, const struct look *l)
{
    const struct fakeredis_cluster *c = a->f->cluster;
    const struct fakeredis_node *to = &c->nodes[v == ASK ? l->move->to : c->owner[l->slot]];

    if (v == CROSSED)
        say_error(a, "CROSSSLOT Keys in request don't hash to the same slot");
    else if (v == DOWN)
        say_error(a, "CLUSTERDOWN The cluster is down");
    else if (v == UNSTABLE)
        say_error(a, "TRYAGAIN Multiple keys request during rehashing of slot");
    else
        say_error(a, "%s %u %s:%u", v == ASK ? "ASK" : "MOVED", l->slot, to->host, to->port);
}

bool cluster_redirects(struct ask *a)
{
    struct look l = {.first = {NULL, 0}};
    enum verdict v;

    if (a->s->node == FAKEREDIS_NO_NODE)
        return false;
    if (strcmp(a->command->name, "exec") == 0)
        look_at_queued(a->s, &l);
    else
        look_at(a->s, &l, a->command, a->argc, a->argv);
    v = judge(a->s, &l);
    if (v == SERVED)
        return false;
    say_redirect(a, v, &l);
    if (strcmp(a->command->name, "exec") == 0)
        session_forget(a->s);
    return true;
}

const char *cluster_forbids(const struct ask *a)
{
    struct look l = {.first = {NULL, 0}};

    if (a->s->node == FAKEREDIS_NO_NODE)
        return NULL;
    look_at(a->s, &l, a->command, a->argc, a->argv);
    switch (judge(a->s, &l)) {
    case SERVED:
        return NULL;
    case DOWN:
        return DOWN_IN_SCRIPT;
    case CROSSED:
        return CROSSED_IN_SCRIPT;
    default:
        return NOT_HERE;
    }
}

/* -- commands -- */

void cluster_say_role(struct ask *a)
{
    const struct fakeredis_node *n = &a->f->cluster->nodes[a->s->node];

    say_array(a, 5);
    say_text(a, SPAN("slave"));
    say_text(a, span_str(n->host));
    say_number(a, n->port);
    say_text(a, SPAN("connected"));
    say_number(a, 0);
}

static bool is_no_cluster(struct ask *a)
{
    if (a->f->cluster)
        return false;
    say_error(a, NO_CLUSTER);
    return true;
}

static void run_asking(struct ask *a)
{
    if (is_no_cluster(a))
        return;
    a->s->asking = true;
    say_status(a, "OK");
}

static void run_keyslot(struct ask *a)
{
    if (!is_no_cluster(a))
        say_number(a, redis_slot_of(a->argv[2]));
}

static unsigned range_end(const struct fakeredis_cluster *c, unsigned from)
{
    unsigned end = from;

    while (end + 1 < FAKEREDIS_SLOTS && c->owner[end + 1] == c->owner[from])
        end++;
    return end;
}

static void say_node(struct ask *a, const char *host, unsigned port, const char *id)
{
    say_array(a, 4);
    say_text(a, span_str(host));
    say_number(a, port);
    say_text(a, span_str(id));
    say_array(a, 0);
}

static void say_range(struct ask *a, unsigned from, unsigned end)
{
    const struct fakeredis_node *n = &a->f->cluster->nodes[a->f->cluster->owner[from]];

    say_array(a, n->replica_host ? 4 : 3);
    say_number(a, from);
    say_number(a, end);
    say_node(a, n->host, n->port, n->id);
    if (n->replica_host)
        say_node(a, n->replica_host, n->port, n->replica_id);
}

static void run_slots(struct ask *a)
{
    const struct fakeredis_cluster *c = a->f->cluster;
    size_t count = 0;

    if (is_no_cluster(a))
        return;
    for (unsigned at = 0; at < FAKEREDIS_SLOTS; at = range_end(c, at) + 1)
        count++;
    say_array(a, count);
    for (unsigned at = 0; at < FAKEREDIS_SLOTS; at = range_end(c, at) + 1)
        say_range(a, at, range_end(c, at));
}

const struct command fakeredis_cluster_commands[] = {
    {"asking", 1, NOT_IN_SCRIPTS, run_asking},
    {"cluster|slots", 2, NOT_IN_SCRIPTS, run_slots},
    {"cluster|keyslot", 3, NOT_IN_SCRIPTS, run_keyslot},
    {0},
};
