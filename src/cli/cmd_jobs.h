/* SPDX-License-Identifier: MIT
 * The jobs given on a command line, for `push` and `plan`: targets as arguments or as lines of a
 * file, and options that apply to all of them. */
#pragma once

#include "cmd.h"
#include "jobform.h"

/* Long enough for the largest job as JSON. */
#define CMD_JOBS_LINE_MAX_BYTES ((size_t)16 * 1024 * 1024)

struct cmd_jobs {
    const char *file;
    uint64_t per_job;
    enum jobform_kind kind;
    enum lane lane;
    struct jobform defaults; /* from the options, for every job */
    uint64_t now_ms;
    uint64_t drip_ms; /* the time over which the jobs of the file are spread; 0: all at once */
};

enum cmd_jobs_long {
    CMD_OPT_KEY = 512,
    CMD_OPT_URL,
    CMD_OPT_ALL,
    CMD_OPT_SOFT,
    CMD_OPT_NOT_BEFORE,
    CMD_OPT_EXPIRES,
    CMD_OPT_REPEAT_AFTER,
    CMD_OPT_REF,
    CMD_OPT_WHEN,
    CMD_OPT_VERIFY,
    CMD_OPT_VERIFY_PAGE,
    CMD_OPT_DRIP
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
    {"ref", required_argument, NULL, CMD_OPT_REF},                                                 \
    {"when", required_argument, NULL, CMD_OPT_WHEN},                                               \
    {"verify", no_argument, NULL, CMD_OPT_VERIFY},                                                 \
    {"verify-page", required_argument, NULL, CMD_OPT_VERIFY_PAGE},                                 \
    {"drip", required_argument, NULL, CMD_OPT_DRIP}
/* clang-format on */
#define CMD_JOBS_HELP                                                                               \
    "  -f, --file FILE        read targets from a file; - is standard input\n"                      \
    "  -n, --per-job N        combine N lines of the file into one job (default 1)\n"               \
    "      --key, --url       treat all targets as keys, or as URLs\n"                              \
    "      --all              purge all content of the service\n"                                   \
    "  -s, --service ID       id or name of the Fastly service; again for further ones, and\n"      \
    "                         each job is for all of them\n"                                        \
    "  -l, --lane LANE        urgent, normal (default) or bulk\n"                                   \
    "      --soft             mark as stale instead of removing\n"                                  \
    "      --not-before WHEN  do not send before: +5s, or Unix milliseconds\n"                      \
    "      --drip T           spread the jobs of the file evenly over this time: 30m\n"             \
    "      --expires WHEN     give up after: +1h, or Unix milliseconds\n"                           \
    "      --repeat-after T   purge once more this long after success: 2s, or auto (learnt)\n"      \
    "      --when JSON        not before the origin shows the new version:\n"                       \
    "                         {\"url\": \"https://…\", \"header\": \"x-version\", \"at_least\": " \
    "17}\n"                                                                                         \
    "      --verify           look at the pages afterwards; purge stale ones again (URLs)\n"        \
    "      --verify-page URL  the same with this page, for keys and all\n"                          \
    "      --ref TEXT         your reference, returned in receipts and dead letters\n"

void cmd_jobs_init(struct cmd_jobs *j, uint64_t now_ms);
void cmd_jobs_deinit(struct cmd_jobs *j);

/* Takes an option that getopt_long returned: 0, or CMD_USAGE after printing an error. */
int cmd_jobs_take(struct cmd_jobs *j, int opt);
int cmd_jobs_bad_option(const char *name, const char *expected); /* prints an error; CMD_USAGE */
/* Checks that the targets given as arguments fit the options: 0, or CMD_USAGE after printing an
 * error. */
int cmd_jobs_check(const struct cmd_jobs *j, int targets);
/* Whether any job is given. */
bool cmd_jobs_any(const struct cmd_jobs *j, int targets);

struct cmd_jobs_reader {
    /* Gets each complete job; line 0 means that it is from the arguments. False ends the
     * reading. */
    bool (*job)(void *ctx, enum lane lane, const struct span *fields, size_t count, uint64_t line);
    void (*wrong)(void *ctx, uint64_t line, const char *why); /* gets each invalid input */
    const char *(*progress)(void *ctx, char *note, size_t room);
    void *ctx;
    struct cmd_progress *bar; /* cmd_jobs_read begins and ends it */
    const char *what;         /* "pushing" */
    bool silent;              /* no bar */
};
/* 0, or CMD_USAGE after printing an error if the file cannot be opened. */
int cmd_jobs_read(struct cmd_jobs *j, int argc, char **argv, const struct cmd_jobs_reader *r);
