/* SPDX-License-Identifier: MIT
 * A consumer of a message queue that hands purges on, in C with libpurgeline.
 *
 *     cc -o consumer consumer.c $(pkg-config --cflags --libs libpurgeline)
 *     ./consumer redis://127.0.0.1:6379 main < messages
 *
 * Lines on standard input stand for the queue: a message is a key, or a job as JSON. What is to be
 * copied is the order of things: take what is there, push it with all of it under way at once, and
 * commit only when Redis has it. Killed anywhere, the queue gives the rest again; a purge may then
 * come twice, and none is lost. */
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

/* -- the queue: to be replaced -- */

static unsigned long last_offset;

static int more_is_there(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* Waits for a message, then takes those that are there already. 0 at the end. */
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

/* Everything up to this offset need not be given again. */
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
    /* What is invalid will never be a job, however often it is tried: it belongs wherever you keep
     * such. */
    if (m->code != PURGELINE_OK)
        fprintf(stderr, "message %lu: %s\n", m->offset, purgeline_error(p));
}

static int is_done(const struct message *m)
{
    return m->code == PURGELINE_OK || m->code == PURGELINE_INVALID;
}

/* Everything from the first that is not done, once. How many of the batch are done then. */
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
            sleep(1); /* Redis is away, or full */
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
    setvbuf(stdin, NULL, _IONBF, 0); /* or poll(2) would not see what stdio has read already */
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
