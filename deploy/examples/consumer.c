/* SPDX-License-Identifier: MIT
 * An example consumer of a message queue that pushes purges, in C with libpurgeline.
 *
 *     cc -o consumer consumer.c $(pkg-config --cflags --libs libpurgeline)
 *     ./consumer redis://127.0.0.1:6379 main < messages
 *
 * Standard input stands for the queue: each line is a message with a key, or with a job as JSON.
 * Copy the order of the steps: receive the available messages, push them without waiting for each
 * answer, and commit only when Redis has stored them. If the consumer is killed at any moment, the
 * queue delivers the uncommitted messages again; a purge may then be pushed twice, but none is
 * lost. */
#include <poll.h>
#include <purgeline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 500

struct message {
    unsigned long offset;
    char *text;
    int code; /* enum purgeline_code, once pushed */
};

struct batch {
    struct message messages[BATCH];
    size_t count;
};

/* -- the queue: replace this with your own -- */

static unsigned long last_offset;

static int more_is_there(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* Waits for a message, then also takes those that are already available. 0 at the end of input. */
static size_t receive(struct batch *b)
{
    size_t room = 0;
    ssize_t n;

    b->count = 0;
    do {
        struct message *m = &b->messages[b->count];

        m->text = NULL;
        n = getline(&m->text, &room, stdin);
        if (n < 0) {
            free(m->text);
            break;
        }
        m->text[strcspn(m->text, "\r\n")] = '\0';
        m->offset = ++last_offset;
        m->code = PURGELINE_LOST;
        b->count++;
    } while (b->count < BATCH && more_is_there());
    return b->count;
}

/* Tells the queue that it need not deliver messages up to this offset again. */
static void commit(unsigned long offset)
{
    printf("committed %lu\n", offset);
    fflush(stdout);
}

/* -- pushing -- */

static void on_answer(void *ctx, void *tag, int code, const char *text)
{
    struct message *m = tag;

    (void)ctx;
    (void)text;
    m->code = code;
}

static void send_message(struct purgeline *p, struct message *m)
{
    const char *keys[] = {m->text};
    struct purgeline_job job = PURGELINE_JOB;

    job.keys = keys;
    job.keys_count = 1;
    m->code = m->text[0] == '{' ? purgeline_send_json(p, m->text, strlen(m->text), m)
                                : purgeline_send(p, &job, m);
    /* An invalid message stays invalid, however often it is tried. Move it to your dead-letter
     * queue. */
    if (m->code != PURGELINE_OK)
        fprintf(stderr, "message %lu: %s\n", m->offset, purgeline_error(p));
}

static int is_done(const struct message *m)
{
    return m->code == PURGELINE_OK || m->code == PURGELINE_INVALID;
}

/* Pushes all messages after the first `done` ones, once. Returns how many of the batch are done. */
static size_t push(struct purgeline *p, struct batch *b, size_t done)
{
    for (size_t i = done; i < b->count; i++) {
        send_message(p, &b->messages[i]);
        if (!is_done(&b->messages[i]))
            break;
    }
    if (purgeline_wait(p) != PURGELINE_OK)
        fprintf(stderr, "Redis: %s\n", purgeline_error(p));
    while (done < b->count && is_done(&b->messages[done]))
        done++;
    return done;
}

static void push_and_commit(struct purgeline *p, struct batch *b)
{
    size_t done = 0, before;

    while (done < b->count) {
        before = done;
        done = push(p, b, done);
        if (done > before)
            commit(b->messages[done - 1].offset);
        if (done < b->count)
            sleep(1); /* Redis cannot be reached, or is out of memory */
    }
    for (size_t i = 0; i < b->count; i++)
        free(b->messages[i].text);
}

int main(int argc, char **argv)
{
    static struct batch batch;
    struct purgeline *p;
    char why[PURGELINE_WHY_ROOM];
    int code;

    if (argc != 3) {
        fprintf(stderr, "usage: %s REDIS-URL ACCOUNT\n", argv[0]);
        return 2;
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* poll(2) would not see data in stdio's buffer */
    while ((code = purgeline_open(argv[1], argv[2], &p, why, sizeof(why))) != PURGELINE_OK) {
        fprintf(stderr, "%s\n", why);
        if (code != PURGELINE_LOST)
            return 1;
        sleep(1);
    }
    purgeline_on_answer(p, on_answer, NULL);
    while (receive(&batch))
        push_and_commit(p, &batch);
    purgeline_close(p);
    return 0;
}
