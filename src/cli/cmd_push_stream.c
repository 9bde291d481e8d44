/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd_push.h"
#include "json_text.h"
#include "push_relay.h"
#include "redis_error.h"

struct stream {
    bool json, quiet;
};

static void answer_json(uint64_t line, const char *job, const char *error, struct buf *out)
{
    json_t *o = json_pack("{sIso}", "line", (json_int_t)line, job ? "job" : "error",
                          json_text_of(job ? job : error));
    char *text = json_text_line(o);

    buf_put(out, span_str(text));
    buf_putc(out, '\n');
    free(text);
    json_decref(o);
}

static void answer(void *ctx, uint64_t line, const char *job, const char *error, struct buf *out)
{
    const struct stream *s = ctx;

    if (s->quiet && job)
        return;
    if (s->json)
        answer_json(line, job, error, out);
    else if (job)
        cmd_put(out, "%s\n", job);
    else
        cmd_put(out, "error: line %" PRIu64 ": %s\n", line, error);
}

static void away(void *ctx, const char *why, size_t lines)
{
    (void)ctx;
    cmd_fail(CMD_REDIS, "Redis refuses jobs (%s); %zu lines are waiting, retrying",
             redis_error_shown(why), lines);
}

static void back(void *ctx)
{
    (void)ctx;
    cmd_tell("purgeline push: Redis has stored the waiting lines\n");
}

static int sum_up(int rc, const struct push_relay_counts *c, const char *err, bool quiet)
{
    if (c->open)
        cmd_tell("%" PRIu64 " lines were read and not acknowledged: push them again\n", c->open);
    if (!quiet)
        cmd_tell("%" PRIu64 " jobs accepted, %" PRIu64 " lines refused\n", c->accepted, c->wrong);
    switch (rc) {
    case 0:
        return c->wrong ? CMD_FAILED : CMD_OK;
    case -ENOTCONN:
    case -EACCES:
        return cmd_fail(CMD_REDIS, "Redis: %s", err);
    case -EIO:
        return cmd_fail(CMD_REDIS, "Redis refuses: %s", redis_error_shown(err));
    case -EPIPE:
        return cmd_fail(CMD_FAILED, "the reader of the acknowledgements has gone away");
    default:
        return cmd_fail(CMD_FAILED, "standard input or output: %s", err);
    }
}

static int relay(const struct config *config, const struct config_account *account,
                 const struct push_relay_options *options, const struct stream *s)
{
    struct redis_address address;
    struct push_relay_counts counts;
    struct error err = {""};
    struct pipe *pipe;
    int rc = cmd_redis_address(config, &address);

    if (rc != 0)
        return rc;
    pipe = pipe_new(STDIN_FILENO, STDOUT_FILENO, CMD_JOBS_LINE_MAX_BYTES);
    rc = push_relay_run(pipe, &address, account, options, &counts, &err);
    pipe_free(pipe);
    return sum_up(rc, &counts, err.text, s->quiet);
}

int cmd_push_stream(const struct cmd_common *common, const struct cmd_jobs *jobs, bool quiet)
{
    struct stream s = {.json = common->json, .quiet = quiet};
    const struct push_relay_options options = {.lane = jobs->lane,
                                               .kind = jobs->kind,
                                               .defaults = &jobs->defaults,
                                               .answer = answer,
                                               .away = away,
                                               .back = back,
                                               .ctx = &s};
    const struct config_account *account;
    struct config config;
    int rc = cmd_load(common, &config);

    if (rc != 0)
        return rc;
    account = cmd_account(common, &config);
    rc = account ? relay(&config, account, &options, &s) : CMD_USAGE;
    config_deinit(&config);
    return rc;
}
