/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "weather.h"

#define PATIENCE_S 60 /* the CPU time that one play may take */

void story_print(const struct story *s, FILE *out)
{
    fprintf(out, "config seed=%" PRIu64, s->seed);
    for (size_t i = 0; i < s->settings.count; i++)
        fprintf(out, " %s", s->settings.at[i]);
    fputc('\n', out);
    for (size_t i = 0; i < s->count; i++)
        fprintf(out, "%s\n", s->steps[i].text);
}

/* -- playing apart -- */

static void play_in_child(const struct story *s, int fd)
{
    struct play_options o = {.how = PLAY_PROMISES_ONLY, .silent = true};
    struct play_result r;

    play_limit(PATIENCE_S);
    play_story(s, &o, &r);
    if (!r.passed && write(fd, r.message, strlen(r.message)) < 0)
        _exit(3);
    _exit(r.passed ? 0 : 1);
}

static size_t read_all(int fd, char *out, size_t room)
{
    size_t n = 0;
    ssize_t got;

    while (n + 1 < room && (got = read(fd, out + n, room - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = '\0';
    return n;
}

bool play_apart(const struct story *s, char *message, size_t room)
{
    int fds[2], status = 0;
    pid_t child;

    fflush(NULL);
    must(pipe(fds) == 0);
    child = fork();
    must(child >= 0);
    if (child == 0)
        play_in_child(s, fds[1]);
    close(fds[1]);
    read_all(fds[0], message, room);
    close(fds[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        snprintf(message, room, "the simulator died: %s", strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* -- leaving out -- */

/* A story that lends the steps of another. */
static struct story without(const struct story *s, size_t from, size_t n)
{
    struct story less = *s;

    less.steps = alloc_bytes((s->count + 1) * sizeof(*less.steps));
    memcpy(less.steps, s->steps, from * sizeof(*less.steps));
    memcpy(less.steps + from, s->steps + from + n, (s->count - from - n) * sizeof(*less.steps));
    less.count = s->count - n;
    return less;
}

#define KIND 3 /* characters: "P1:" */

/* How a story fails: a smaller one must break the same promise. A message is the step, then what is
 * wrong in a line of its own; that the simulator died has one line only. */
static const char *kind_of(const char *message)
{
    const char *line = strchr(message, '\n');

    return line ? line + 1 + strspn(line + 1, " ") : message;
}

static bool still_fails(const struct story *s, const char *kind)
{
    char message[700];

    return !play_apart(s, message, sizeof(message)) && strncmp(kind_of(message), kind, KIND) == 0;
}

static bool try_without(struct story *s, size_t from, size_t n, const char *kind)
{
    struct story less = without(s, from, n);

    if (!still_fails(&less, kind)) {
        free(less.steps);
        return false;
    }
    for (size_t i = from; i < from + n; i++) {
        words_deinit(&s->steps[i].words);
        free(s->steps[i].text);
    }
    free(s->steps);
    s->steps = less.steps;
    s->count = less.count;
    s->room = s->count + 1;
    return true;
}

static bool drop_settings(struct story *s, const char *kind)
{
    bool dropped = false;

    for (size_t i = 0; i < s->settings.count;) {
        char *kept = s->settings.at[i];

        s->settings.at[i] = s->settings.at[--s->settings.count];
        if (still_fails(s, kind)) {
            free(kept);
            dropped = true;
            continue;
        }
        s->settings.at[s->settings.count++] = s->settings.at[i];
        s->settings.at[i++] = kept;
    }
    return dropped;
}

/* Delta debugging: https://www.st.cs.uni-saarland.de/papers/tse2002/ */
void story_shrink(struct story *s, const char *message)
{
    const char *kind = kind_of(message);
    bool smaller = true;

    while (smaller) {
        smaller = false;
        for (size_t n = s->count / 2 + 1; n > 0; n /= 2)
            for (size_t from = 0; from + n <= s->count;)
                if (try_without(s, from, n, kind))
                    smaller = true;
                else
                    from += n;
        smaller = drop_settings(s, kind) || smaller;
    }
}

/* -- many seeds -- */

struct board { /* shared with the workers */
    uint64_t now[64];
    uint64_t played;
};

static void work(const struct weather_run *w, struct board *board, uint32_t me, time_t until)
{
    struct play_options o = {.how = PLAY_PROMISES_ONLY, .silent = true};

    for (uint64_t i = me; i < w->count && (!until || time(NULL) < until); i += w->workers) {
        struct play_result r;
        struct story s;

        board->now[me] = w->first + i;
        play_limit(PATIENCE_S);
        weather_story(w->first + i, &s);
        play_story(&s, &o, &r);
        story_deinit(&s);
        if (!r.passed) {
            fprintf(stderr, "seed %" PRIu64 ": %s\n", w->first + i, r.message);
            _exit(1);
        }
        __atomic_add_fetch(&board->played, 1, __ATOMIC_RELAXED);
    }
    _exit(0);
}

static void report(uint64_t seed, int status)
{
    char message[700];
    struct story s;

    weather_story(seed, &s);
    if (play_apart(&s, message, sizeof(message))) {
        fprintf(stderr, "seed %" PRIu64 " failed after others (%s), and passed when played alone\n",
                seed, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "see above");
        story_deinit(&s);
        return;
    }
    fprintf(stderr, "seed %" PRIu64 " fails:\n%s\n\nMaking it smaller ...\n\n", seed, message);
    story_shrink(&s, message);
    story_print(&s, stderr);
    if (!play_apart(&s, message, sizeof(message)))
        fprintf(stderr, "# %s\n", message);
    story_deinit(&s);
}

int weather_run(const struct weather_run *w)
{
    struct board *board =
        mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    time_t until = w->seconds ? time(NULL) + w->seconds : 0;
    pid_t children[64];
    int failed = 0;

    must(board != MAP_FAILED && w->workers > 0 && w->workers <= 64);
    fflush(NULL);
    for (uint32_t i = 0; i < w->workers; i++) {
        children[i] = fork();
        must(children[i] >= 0);
        if (children[i] == 0)
            work(w, board, i, until);
    }
    for (uint32_t i = 0; i < w->workers; i++) {
        int status = 0;

        must(waitpid(children[i], &status, 0) == children[i]);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        if (failed++ == 0)
            report(board->now[i], status);
        else
            fprintf(stderr, "seed %" PRIu64 " fails, too\n", board->now[i]);
    }
    printf("%" PRIu64 " seeds played, %d workers failed\n", board->played, failed);
    munmap(board, sizeof(*board));
    return failed;
}
