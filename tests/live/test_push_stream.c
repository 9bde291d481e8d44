/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "await.h"
#include "base.h"
#include "clock.h"
#include "command_world.h"

/* `purgeline push -`, with the test as its writer and its reader. */
struct stream {
    pid_t pid;
    int in, out;
    char heard[1 << 16]; /* read from it but not yet returned */
    size_t n;
    char err_path[128];
};

static void start(struct world *w, struct stream *s, const char *option)
{
    int in[2], out[2], err;

    snprintf(s->err_path, sizeof(s->err_path), "%s/stderr-of-push", w->shell.folder);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        err = open(s->err_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err, 2);
        execl(getenv("PURGELINE_BIN"), "purgeline", "push", "-", option, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    s->in = in[1];
    s->out = out[0];
    s->n = 0;
}

static void say(struct stream *s, const char *text)
{
    size_t n = strlen(text);

    assert_int_equal(write(s->in, text, n), n);
}

/* The next line of its output; "" at its end. Valid until the next call. */
static const char *hear(struct stream *s)
{
    static char line[4096];
    struct pollfd p = {.fd = s->out, .events = POLLIN};
    char *lf;
    ssize_t n;

    while (!(lf = memchr(s->heard, '\n', s->n))) {
        assert_true(s->n < sizeof(s->heard));
        if (poll(&p, 1, AWAIT_PATIENCE_MS) != 1)
            fail_msg("waited in vain for an acknowledgement");
        n = read(s->out, s->heard + s->n, sizeof(s->heard) - s->n);
        assert_true(n >= 0);
        if (n == 0)
            return "";
        s->n += (size_t)n;
    }
    n = lf - s->heard;
    assert_true((size_t)n < sizeof(line));
    memcpy(line, s->heard, (size_t)n);
    line[n] = '\0';
    s->n -= (size_t)n + 1;
    memmove(s->heard, lf + 1, s->n);
    return line;
}

static int finish(struct stream *s)
{
    int status;

    if (s->in >= 0)
        close(s->in);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    close(s->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool said(const struct stream *s, const char *text)
{
    char all[8192];
    int fd = open(s->err_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, all, sizeof(all) - 1);

    close(fd);
    all[n > 0 ? n : 0] = '\0';
    return strstr(all, text) != NULL;
}

#define assert_said(s, text) await_until(-1, AWAIT_PATIENCE_MS, said(s, text))

static void assert_job(const char *answer, const char *lane)
{
    if (strncmp(answer, lane, strlen(lane)) != 0)
        fail_msg("\"%s\" is no job of %s", answer, lane);
}

/* The key in the job with this id. */
static void key_of(struct world *w, const char *job, char *out, size_t room)
{
    const char *id = job + strlen("normal-");
    redisReply *r;

    assert_job(job, "normal-");
    r = redis_server_try(w->redis, "XRANGE " NORMAL " %s %s", id, id);
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    if (r->elements != 1)
        fail_msg("%s was acknowledged and is not there", job);
    snprintf(out, room, "%s", r->element[0]->element[1]->element[1]->str);
    freeReplyObject(r);
}

/* -- an answer to each line -- */

static void a_slow_producer_sees_its_acknowledgement_at_once(void **state)
{
    struct world *w = *state;
    struct stream s;
    char line[32];

    start(w, &s, NULL);
    for (int i = 0; i < 5; i++) {
        snprintf(line, sizeof(line), "key-%d\nhalf a li", i);
        say(&s, line);
        assert_job(hear(&s), "normal-");
        assert_int_equal(length(w, NORMAL), i + 1);
        say(&s, "\x7f of a line\n");
        assert_memory_equal(hear(&s), "error: line ", 12);
    }
    assert_int_equal(finish(&s), 1);
}

static void a_line_that_is_no_job_has_its_error_in_its_place(void **state)
{
    struct world *w = *state;
    struct stream s;

    start(w, &s, "--json");
    say(&s,
        "a\n\n{\"keys\":[\"x y\"]}\n{\"lane\":\"bulk\",\"keys\":[\"b\"]}\n{\"colour\":1}\nlast");
    close(s.in);
    s.in = -1;
    assert_memory_equal(hear(&s), "{\"line\":1,\"job\":\"normal-", 24);
    assert_memory_equal(hear(&s), "{\"line\":3,\"error\":\"keys: ", 25);
    assert_memory_equal(hear(&s), "{\"line\":4,\"job\":\"bulk-", 22);
    assert_memory_equal(hear(&s), "{\"line\":5,\"error\":\"colour: ", 27);
    assert_memory_equal(hear(&s), "{\"line\":6,\"job\":\"normal-", 24);
    assert_string_equal(hear(&s), "");
    assert_int_equal(finish(&s), 1);
    assert_said(&s, "3 jobs accepted, 2 lines refused");
    assert_entry(w, NORMAL, 1, "keys=last");
}

static void options_hold_for_every_line(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "printf 'a\\n{\"keys\":\"b\",\"soft\":0}\\n' | "
                                          "$P push --lane bulk --soft -q -"),
                     0);
    assert_string_equal(w->shell.out, "");
    assert_entry(w, BULK, 0, "soft=1 keys=a");
    assert_entry(w, BULK, 1, "soft=0 keys=b");
    assert_int_equal(shell_run(&w->shell, "$P push --wait - </dev/null"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push --per-job 2 - </dev/null"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push --all - </dev/null"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push - </dev/null"), 0);
}

static void a_hundred_thousand_lines_are_acknowledged_in_order(void **state)
{
    struct world *w = *state;
    redisReply *r;
    char *at;

    assert_int_equal(shell_run(&w->shell, "seq 100000 | $P push -"), 0);
    r = redis_server_try(w->redis, "XRANGE " NORMAL " - +");
    assert_int_equal(r->elements, 100000);
    at = w->shell.out;
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *id = r->element[i]->element[0];

        assert_int_equal(atoi(r->element[i]->element[1]->element[1]->str), i + 1);
        assert_memory_equal(at, "normal-", 7);
        assert_memory_equal(at + 7, id->str, (size_t)id->len);
        at += 7 + id->len;
        assert_int_equal(*at++, '\n');
    }
    assert_int_equal(*at, '\0');
    freeReplyObject(r);
}

static void a_line_longer_than_any_job_is_passed_over(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell,
                               "{ echo a; head -c 40000000 /dev/zero | tr '\\0' x; echo; "
                               "echo b; } | $P push - | sed s/-.*//"),
                     0);
    assert_string_equal(w->shell.out, "normal\nerror: line 2: longer than 16 MiB\nnormal\n");
}

/* -- Redis goes away -- */

/* Writes 1 to `count`, one per line, from a child process. */
static pid_t feed(struct stream *s, int count)
{
    pid_t pid = fork();
    FILE *f;

    assert_true(pid >= 0);
    if (pid == 0) {
        f = fdopen(s->in, "w");
        for (int i = 1; i <= count; i++)
            fprintf(f, "%d\n", i);
        fclose(f);
        _exit(0);
    }
    close(s->in);
    s->in = -1;
    return pid;
}

static void what_was_acknowledged_is_there_whenever_redis_is_killed(void **state)
{
    struct world *w = *state;
    static char jobs[30000][64];
    const int count = array_len(jobs);
    struct stream s;
    pid_t feeder;
    char key[16], wanted[16];

    start(w, &s, NULL);
    feeder = feed(&s, count);
    for (int i = 0; i < count; i++) {
        snprintf(jobs[i], sizeof(jobs[i]), "%s", hear(&s));
        if (i % 7000 == 6999) {
            redis_server_kill(w->redis);
            redis_server_restart(w->redis);
        }
    }
    assert_int_equal(waitpid(feeder, NULL, 0), feeder);
    assert_int_equal(finish(&s), 0);
    assert_true(said(&s, "Redis has stored the waiting lines"));
    for (int i = 0; i < count; i++) {
        key_of(w, jobs[i], key, sizeof(key));
        snprintf(wanted, sizeof(wanted), "%d", i + 1);
        assert_string_equal(key, wanted);
    }
    redis_server_assert_counts(w->redis, NORMAL, count);
}

static void it_may_be_started_before_redis_is(void **state)
{
    struct world *w = *state;
    struct stream s;

    redis_server_kill(w->redis);
    start(w, &s, NULL);
    say(&s, "a\nb\n");
    assert_said(&s, "lines are waiting");
    redis_server_restart(w->redis);
    assert_job(hear(&s), "normal-");
    assert_job(hear(&s), "normal-");
    assert_int_equal(finish(&s), 0);
    assert_entry(w, NORMAL, 0, "keys=a");
    assert_entry(w, NORMAL, 1, "keys=b");
    assert_int_equal(length(w, NORMAL), 2);
}

static void a_connection_that_was_idle_for_long_loses_nothing(void **state)
{
    struct world *w = *state;
    struct stream s;

    start(w, &s, NULL);
    say(&s, "a\n");
    assert_job(hear(&s), "normal-");
    redis_server_do(w->redis, "CLIENT KILL TYPE normal SKIPME yes");
    say(&s, "b\n");
    assert_job(hear(&s), "normal-");
    assert_int_equal(length(w, NORMAL), 2);
    assert_false(said(&s, "lines are waiting"));
    assert_int_equal(finish(&s), 0);
}

static void a_full_redis_is_waited_for(void **state)
{
    struct world *w = *state;
    struct stream s;

    redis_server_do(w->redis, "CONFIG SET maxmemory 1");
    start(w, &s, NULL);
    say(&s, "a\nb\n");
    assert_said(&s, "OOM");
    redis_server_do(w->redis, "CONFIG SET maxmemory 0");
    assert_job(hear(&s), "normal-");
    assert_job(hear(&s), "normal-");
    assert_int_equal(finish(&s), 0);
    assert_int_equal(length(w, NORMAL), 2);
}

/* A fake Redis: the first XADD is refused because of memory, and the n-th gets the id 1-n. */
static void serve(int listening)
{
    char bytes[4096], answer[64];
    int fd, count = 0;
    ssize_t n;

    prctl(PR_SET_PDEATHSIG,
          SIGKILL); /* ends with the test, even if it fails, because it holds the test's output */
    fd = accept(listening, NULL, NULL);

    while ((n = read(fd, bytes, sizeof(bytes) - 1)) > 0) {
        bytes[n] = '\0';
        for (char *word = strpbrk(bytes, "XS"); word; word = strpbrk(word + 1, "XS")) {
            if (strncmp(word, "SELECT", 6) == 0)
                snprintf(answer, sizeof(answer), "+OK\r\n");
            else if (strncmp(word, "XADD", 4) != 0)
                continue;
            else if (++count == 1)
                snprintf(answer, sizeof(answer), "-OOM for once\r\n");
            else
                snprintf(answer, sizeof(answer), "$3\r\n1-%d\r\n", count);
            if (write(fd, answer, strlen(answer)) < 0)
                _exit(1);
        }
    }
    _exit(0);
}

static pid_t start_fake(const struct world *w)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char url[160];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    snprintf(a.sun_path, sizeof(a.sun_path), "%s/fake.sock", w->shell.folder);
    snprintf(url, sizeof(url), "unix://%s", a.sun_path);
    setenv("PURGELINE_REDIS", url, 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 1), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        serve(fd);
    close(fd);
    return pid;
}

static void what_came_behind_a_refused_line_goes_behind_it_again(void **state)
{
    struct world *w = *state;
    pid_t fake = start_fake(w);
    struct stream s;

    start(w, &s, NULL);
    say(&s, "a\nb\nc\n");
    assert_string_equal(hear(&s), "normal-1-4");
    assert_string_equal(hear(&s), "normal-1-5");
    assert_string_equal(hear(&s), "normal-1-6");
    assert_int_equal(finish(&s), 0);
    assert_int_equal(waitpid(fake, NULL, 0), fake);
}

static void what_redis_refuses_for_good_ends_it(void **state)
{
    struct world *w = *state;

    redis_server_do(w->redis, "SET " NORMAL " x");
    assert_int_equal(shell_run(&w->shell, "seq 3 | $P push -"), 3);
    shell_assert_err(&w->shell, "3 lines were read and not acknowledged");
    shell_assert_err(&w->shell, "Redis refuses: WRONGTYPE");
    assert_string_equal(w->shell.out, "");
    redis_server_do(w->redis, "CONFIG SET requirepass hunter2");
    assert_int_equal(shell_run(&w->shell, "seq 3 | $P push -"), 3);
    redis_server_login(w->redis, "hunter2");
    shell_assert_err(&w->shell, "NOAUTH");
}

static void while_redis_is_away_the_feeder_is_held_back(void **state)
{
    struct world *w = *state;
    struct pollfd p = {.events = POLLOUT};
    char lines[4096];
    struct stream s;
    size_t fed = 0;
    ssize_t n;

    memset(lines, 'x', sizeof(lines));
    for (size_t i = 99; i < sizeof(lines); i += 100)
        lines[i] = '\n';
    redis_server_kill(w->redis);
    start(w, &s, NULL);
    p.fd = s.in;
    fcntl(s.in, F_SETFL, O_NONBLOCK);
    while (poll(&p, 1, 1000) == 1) {
        n = write(s.in, lines, sizeof(lines));
        fed += n > 0 ? (size_t)n : 0;
        assert_true(fed < 1024 * 1024);
    }
    assert_true(said(&s, "lines are waiting"));
    redis_server_restart(w->redis);
    assert_int_equal(kill(s.pid, SIGKILL), 0);
    (void)finish(&s);
}

/* -- ending -- */

static void asked_to_stop_it_finishes_what_it_read(void **state)
{
    struct world *w = *state;
    struct stream s;

    start(w, &s, NULL);
    say(&s, "a\nb\n");
    assert_job(hear(&s), "normal-");
    kill(s.pid, SIGTERM);
    assert_job(hear(&s), "normal-");
    assert_string_equal(hear(&s), "");
    assert_int_equal(finish(&s), 0);
    assert_int_equal(length(w, NORMAL), 2);
}

static void asked_to_stop_while_redis_is_away_it_says_what_is_missing(void **state)
{
    struct world *w = *state;
    struct stream s;

    redis_server_kill(w->redis);
    start(w, &s, NULL);
    say(&s, "a\nb\n");
    assert_said(&s, "lines are waiting");
    kill(s.pid, SIGTERM);
    assert_string_equal(hear(&s), "");
    assert_int_equal(finish(&s), 3);
    assert_said(&s, "lines were read and not acknowledged");
    redis_server_restart(w->redis);
    assert_int_equal(length(w, NORMAL), 0);
}

static void without_a_reader_it_ends(void **state)
{
    struct world *w = *state;
    struct stream s;

    start(w, &s, NULL);
    say(&s, "a\n");
    assert_job(hear(&s), "normal-");
    close(s.out);
    say(&s, "b\n");
    s.out = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(finish(&s), 1);
    assert_said(&s, "the reader of the acknowledgements");
}

static bool is_dead(pid_t pid)
{
    siginfo_t info = {0};

    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid == pid;
}

static void a_reader_that_sleeps_does_not_keep_it_from_being_killed(void **state)
{
    struct world *w = *state;
    struct stream s;
    pid_t feeder;

    start(w, &s, NULL);
    assert_true(fcntl(s.out, F_SETPIPE_SZ, 4096) > 0);
    feeder = feed(&s, 100000);
    await_until(-1, AWAIT_PATIENCE_MS, length(w, NORMAL) > 500); /* more than fits into the pipe */
    await_until(-1, AWAIT_PATIENCE_MS, kill(s.pid, SIGTERM) == 0 && is_dead(s.pid));
    assert_int_equal(finish(&s), -SIGTERM);
    assert_int_equal(waitpid(feeder, NULL, 0), feeder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_slow_producer_sees_its_acknowledgement_at_once),
        T(a_line_that_is_no_job_has_its_error_in_its_place),
        T(options_hold_for_every_line),
        T(a_hundred_thousand_lines_are_acknowledged_in_order),
        T(a_line_longer_than_any_job_is_passed_over),
        T(what_was_acknowledged_is_there_whenever_redis_is_killed),
        T(it_may_be_started_before_redis_is),
        T(a_connection_that_was_idle_for_long_loses_nothing),
        T(a_full_redis_is_waited_for),
        T(what_came_behind_a_refused_line_goes_behind_it_again),
        T(what_redis_refuses_for_good_ends_it),
        T(while_redis_is_away_the_feeder_is_held_back),
        T(asked_to_stop_it_finishes_what_it_read),
        T(asked_to_stop_while_redis_is_away_it_says_what_is_missing),
        T(without_a_reader_it_ends),
        T(a_reader_that_sleeps_does_not_keep_it_from_being_killed),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
