/* SPDX-License-Identifier: MIT
 * The jobs given on a command line, for `push` and `plan`: targets as arguments or lines of a file,
 * and the options for all of them. */
#pragma once

#include "cmd.h"
#include "jobform.h"

/* A line may hold a job of the largest size as JSON. */
#define CMD_JOBS_LINE_MAX_BYTES ((size_t)16 * 1024 * 1024)

struct cmd_jobs {
    const char *file;
    uint64_t per_job;
    enum jobform_kind kind;
    enum lane lane;
    struct jobform defaults; /* what the options say, for every job */
    uint64_t now_ms;
};

enum cmd_jobs_long {
    CMD_OPT_KEY = 512,
    CMD_OPT_URL,
    CMD_OPT_ALL,
    CMD_OPT_SOFT,
    CMD_OPT_NOT_BEFORE,
    CMD_OPT_EXPIRES,
    CMD_OPT_REPEAT_AFTER,
    CMD_OPT_REF
};

#define CMD_JOBS_SHORT "f:n:s:l:"
/* clang-format off */
#define CMD_JOBS_LONG                                                                              \
    {"file", required_argument, NULL, 'f'},                                                        \
    {"per-job", required_argument, NULL, 'n'},                                                     \
    {"key", no_argument, NULL, CMD_OPT_KEY},                                                       \
    {"url", no_argument, NULL, CMD_OPT_URL},                                                       \
    {"all", no_argument, NULL, CMD_OPT_ALL},                                                       \
    {"service", required_argument, NULL, 's'},                                                     \
    {"lane", required_argument, NULL, 'l'},                                                        \
    {"soft", no_argument, NULL, CMD_OPT_SOFT},                                                     \
    {"not-before", required_argument, NULL, CMD_OPT_NOT_BEFORE},                                   \
    {"expires", required_argument, NULL, CMD_OPT_EXPIRES},                                         \
    {"repeat-after", required_argument, NULL, CMD_OPT_REPEAT_AFTER},                               \
    {"ref", required_argument, NULL, CMD_OPT_REF}
/* clang-format on */
#define CMD_JOBS_HELP                                                                              \
    "  -f, --file FILE        read targets from a file; - is standard input\n"                     \
    "  -n, --per-job N        combine N lines of the file into one job (default 1)\n"              \
    "      --key, --url       treat all targets as keys, or as URLs\n"                             \
    "      --all              purge all content of the service\n"                                  \
    "  -s, --service ID       id or name of the Fastly service\n"                                  \
    "  -l, --lane LANE        urgent, normal (default) or bulk\n"                                  \
    "      --soft             mark as stale instead of removing\n"                                 \
    "      --not-before WHEN  do not send before: +5s, or Unix milliseconds\n"                     \
    "      --expires WHEN     give up after: +1h, or Unix milliseconds\n"                          \
    "      --repeat-after T   purge once more this long after success: 2s\n"                       \
    "      --ref TEXT         your reference, returned in receipts and dead letters\n"

void cmd_jobs_init(struct cmd_jobs *j, uint64_t now_ms);
void cmd_jobs_deinit(struct cmd_jobs *j);

/* Takes an option that getopt_long returned: 0, or CMD_USAGE with the sentence printed. */
int cmd_jobs_take(struct cmd_jobs *j, int opt);
int cmd_jobs_bad_option(const char *name, const char *expected); /* prints; CMD_USAGE */
/* The targets given as arguments go with the options: 0, or CMD_USAGE with the sentence printed. */
int cmd_jobs_check(const struct cmd_jobs *j, int targets);
/* What is asked for at all. */
bool cmd_jobs_any(const struct cmd_jobs *j, int targets);

struct cmd_jobs_reader {
    /* A complete job; line 0: from arguments. False ends the reading. */
    bool (*job)(void *ctx, enum lane lane, const struct span *fields, size_t count, uint64_t line);
    void (*wrong)(void *ctx, uint64_t line, const char *why); /* no job: bad input */
    const char *(*progress)(void *ctx, char *note, size_t room);
    void *ctx;
    struct cmd_progress *bar; /* begun and ended here */
    const char *what;         /* "pushing" */
    bool silent;              /* no bar */
};
/* 0, or CMD_USAGE when there is no such file, with the sentence printed. */
int cmd_jobs_read(struct cmd_jobs *j, int argc, char **argv, const struct cmd_jobs_reader *r);
