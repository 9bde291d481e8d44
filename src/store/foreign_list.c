/* SPDX-License-Identifier: MIT */
#include "foreign_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "foreign_wait.h"
#include "redis_error.h"

/* Messages are fetched in steps, until there are enough or they have this size. */
#define STEP 32u
#define ENOUGH_BYTES ((size_t)4 << 20)

struct foreign_list {
    struct client *client;
    char *list, *ours;
    const char *from;               /* "LEFT", "RIGHT" */
    bool left_over;                 /* our list may have messages from earlier */
    bool blocked;                   /* a BLMOVE has no answer yet */
    char *kept[FOREIGN_LIST_BATCH]; /* the messages of the last fetch */
    size_t kept_bytes[FOREIGN_LIST_BATCH], bytes;
    uint32_t count;
};

/* The hash tag puts both lists of a Cluster into one slot. */
char *foreign_list_ours(const char *list, const char *consumer)
{
    const char *open = strchr(list, '{'), *close = open ? strchr(open, '}') : NULL;
    bool tagged = close && close > open + 1;

    return tagged ? alloc_printf("%s:purgeline:%s", list, consumer)
                  : alloc_printf("{%s}:purgeline:%s", list, consumer);
}

int foreign_list_open(const struct redis_address *a, const char *list, enum foreign_list_end end,
                      const char *consumer, struct foreign_list **out, struct error *err)
{
    struct client *client;
    struct foreign_list *l;
    int rc = client_open(a, &client, err);

    if (rc < 0)
        return rc;
    l = alloc_zeroed(1, sizeof(*l));
    l->client = client;
    l->list = alloc_str(list);
    l->ours = foreign_list_ours(list, consumer);
    l->from = end == FOREIGN_LIST_LEFT ? "LEFT" : "RIGHT";
    l->left_over = true;
    *out = l;
    return 0;
}

static void forget(struct foreign_list *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        free(l->kept[i]);
    l->count = 0;
    l->bytes = 0;
}

void foreign_list_close(struct foreign_list *l)
{
    if (!l)
        return;
    forget(l);
    client_close(l->client);
    free(l->list);
    free(l->ours);
    free(l);
}

static int list_failed(const struct foreign_list *l, int rc, struct error *err)
{
    return error_set(err, rc, "%s", redis_error_shown(client_error(l->client)));
}

static int strange(struct foreign_list *l, const struct redisReply *reply, struct error *err)
{
    /* A refusal is the client's last error already. */
    return list_failed(l, reply_refused(reply) ? -EIO : client_distrust(l->client), err);
}

static void keep(struct foreign_list *l, const struct redisReply *message)
{
    struct span text = reply_text(message);

    l->kept[l->count] = alloc_copy(text.p, text.n);
    l->kept_bytes[l->count++] = text.n;
    l->bytes += text.n;
}

/* -- messages that an earlier run has moved but not finished -- */

static int fetch_left_over(struct foreign_list *l, uint32_t max, struct error *err)
{
    char last[16];
    struct redisReply *reply;
    int rc;

    snprintf(last, sizeof(last), "%u", (unsigned)min_u64(max, STEP) - 1);
    rc = client_ask_words(l->client, (const char *const[]){"LRANGE", l->ours, "0", last, NULL},
                          &reply);
    if (rc < 0)
        return list_failed(l, rc, err);
    if (!reply_is_array(reply) || reply_count(reply) > STEP)
        return strange(l, reply, err);
    for (size_t i = 0; i < reply_count(reply); i++)
        keep(l, reply_at(reply, i));
    l->left_over = l->count > 0;
    return 0;
}

/* -- new messages -- */

static void send_words(struct client *c, const char *const *words)
{
    struct span argv[8];
    size_t argc = 0;

    for (; words[argc]; argc++) {
        must(argc < array_len(argv));
        argv[argc] = span_str(words[argc]);
    }
    client_send(c, argc, argv);
}

/* Moves up to `count` messages. Returns 1: there may be more; 0: the list is empty now. */
static int move(struct foreign_list *l, uint32_t count, struct error *err)
{
    bool empty = false;

    for (uint32_t i = 0; i < count; i++)
        send_words(l->client,
                   (const char *const[]){"LMOVE", l->list, l->ours, l->from, "RIGHT", NULL});
    for (uint32_t i = 0; i < count; i++) {
        struct redisReply *reply;
        int rc = client_receive(l->client, &reply);

        if (rc < 0)
            return list_failed(l, rc, err);
        if (reply_is_string(reply))
            keep(l, reply);
        else if (!reply_nil(reply))
            return strange(l, reply, err);
        empty |= reply_nil(reply);
    }
    return !empty;
}

static int ask_length(struct foreign_list *l, uint64_t *out, struct error *err)
{
    struct redisReply *reply;
    int rc = client_ask_words(l->client, (const char *const[]){"LLEN", l->list, NULL}, &reply);

    if (rc < 0)
        return list_failed(l, rc, err);
    *out = reply_u64(reply);
    return 0;
}

static int fetch_waiting(struct foreign_list *l, uint32_t max, struct error *err)
{
    uint64_t length;
    int rc = ask_length(l, &length, err);
    uint32_t left;

    if (rc < 0)
        return rc;
    for (left = (uint32_t)min_u64(length, max); left && l->bytes < ENOUGH_BYTES;
         left -= (uint32_t)min_u64(left, STEP)) {
        rc = move(l, (uint32_t)min_u64(left, STEP), err);
        if (rc <= 0)
            break;
    }
    return rc < 0 ? rc : 0;
}

/* Waits inside Redis for the next message. If we are asked to stop, the command stays under way; a
 * message that it moves is found in our list later. */
static int block(struct foreign_list *l, int stop_fd, struct error *err)
{
    struct redisReply *reply;
    int rc;

    if (!l->blocked)
        send_words(l->client, (const char *const[]){"BLMOVE", l->list, l->ours, l->from, "RIGHT",
                                                    digits_of(FOREIGN_BLOCK_S), NULL});
    l->blocked = true;
    rc = foreign_wait(l->client, stop_fd, &reply);
    if (rc == -EAGAIN)
        return 0;
    if (rc < 0)
        return list_failed(l, rc, err);
    l->blocked = false;
    if (reply_is_string(reply))
        keep(l, reply);
    else if (!reply_nil(reply))
        return strange(l, reply, err);
    return 0;
}

int foreign_list_fetch(struct foreign_list *l, int stop_fd, uint32_t max, struct span *messages,
                       struct error *err)
{
    int rc = 0;

    forget(l);
    max = (uint32_t)min_u64(max, FOREIGN_LIST_BATCH);
    if (l->left_over)
        rc = fetch_left_over(l, max, err);
    if (rc == 0 && l->count == 0 && !l->blocked)
        rc = fetch_waiting(l, max, err);
    if (rc == 0 && l->count == 0)
        rc = block(l, stop_fd, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < l->count; i++)
        messages[i] = span_of(l->kept[i], l->kept_bytes[i]);
    return (int)l->count;
}

int foreign_list_done(struct foreign_list *l, uint32_t count, struct error *err)
{
    struct redisReply *reply;
    int rc;

    must(count <= l->count);
    for (uint32_t i = 0; i < count; i++)
        client_send(l->client, 4,
                    (const struct span[]){SPAN("LREM"), span_str(l->ours), SPAN("1"),
                                          span_of(l->kept[i], l->kept_bytes[i])});
    for (uint32_t i = 0; i < count; i++) {
        rc = client_receive(l->client, &reply);
        if (rc < 0)
            return list_failed(l, rc, err);
        if (!reply_is_integer(reply))
            return strange(l, reply, err);
    }
    return 0;
}

int foreign_list_waiting(struct foreign_list *l, uint64_t *out, struct error *err)
{
    *out = 0; /* BLMOVE waits while the list is empty */
    return l->blocked ? 0 : ask_length(l, out, err);
}
