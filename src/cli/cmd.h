/* SPDX-License-Identifier: MIT
 * Shared by the subcommands: their entry points, common options, exit codes, output. */
#pragma once

#include <getopt.h>
#include <stdio.h>

#include "config.h"
#include "span.h"

enum cmd_exit {
    CMD_OK = 0,
    CMD_FAILED = 1, /* done in part or not at all, or something is wrong */
    CMD_USAGE = 2,  /* wrong arguments or configuration */
    CMD_REDIS = 3,  /* Redis cannot be reached */
    CMD_TIMEOUT = 4,
};

int cmd_run(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_consume(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_ready(int argc, char **argv);
int cmd_dead(int argc, char **argv);
int cmd_job(int argc, char **argv);
int cmd_history(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_completion(int argc, char **argv);
int cmd_help(int argc, char **argv);

extern const char cmd_run_help[];
extern const char cmd_push_help[];
extern const char cmd_consume_help[];
extern const char cmd_status_help[];
extern const char cmd_ready_help[];
extern const char cmd_dead_help[];
extern const char cmd_job_help[];
extern const char cmd_history_help[];
extern const char cmd_pause_help[];
extern const char cmd_resume_help[];
extern const char cmd_check_help[];
extern const char cmd_plan_help[];
extern const char cmd_doctor_help[];
extern const char cmd_top_help[];
extern const char cmd_completion_help[];
extern const char cmd_help_help[];

/* The command named in messages, and what getopt gets; both are lent. */
void cmd_begin(const char *command, char *const *argv);
const char *cmd_name(void); /* "purgeline <command>" */

struct buf;
void cmd_overview(struct buf *out); /* appends the list of commands */
int cmd_unknown(const char *name);  /* there is no such command: an exit code */

/* -- options that all commands take -- */

struct cmd_common {
    const char *config, *account, *redis;
    bool json;
};

#define CMD_SHORT "c:a:r:jh"
#define CMD_LONG                                                                                   \
    {"config", required_argument, NULL, 'c'}, {"account", required_argument, NULL, 'a'},           \
        {"redis", required_argument, NULL, 'r'}, {"json", no_argument, NULL, 'j'},                 \
    {                                                                                              \
        "help", no_argument, NULL, 'h'                                                             \
    }
#define CMD_OPTIONS_HELP                                                                           \
    "  -c, --config FILE    configuration (default: $PURGELINE_CONFIG, else\n"                     \
    "                       /etc/purgeline/purgeline.yaml if there is one)\n"                      \
    "  -r, --redis URL      use this Redis instead of the configured one\n"                        \
    "  -h, --help           show this help\n"

/* Takes a short option that getopt_long returned. True if it is a common option. */
bool cmd_take_common(struct cmd_common *o, int opt);

/* Call this after parsing the options. -1: go on; otherwise the exit code (--help was shown, or an
 * option was wrong). `opt` is what getopt_long returned last when parsing stopped early: 'h', '?'
 * or -1. */
int cmd_after_options(const char *command, int opt, const char *help);

/* -- printing -- */

/* Like printf to stdout, to stderr, and into a buffer. The text of a %s may come from Redis or the
 * network, so its control characters are printed as \xNN and the terminal does not obey them.
 * Strings returned by cmd_colour are printed unchanged. */
void cmd_print(const char *fmt, ...) print_like(1, 2);
void cmd_tell(const char *fmt, ...) print_like(1, 2);
void cmd_put(struct buf *out, const char *fmt, ...) print_like(2, 3);

/* Prints "purgeline <command>: " and the sentence to stderr. Returns `code`. */
int cmd_fail(enum cmd_exit code, const char *fmt, ...) print_like(2, 3);

void cmd_print_text(struct span lines); /* keeps newlines, escapes other control characters */

enum cmd_json { CMD_JSON_LINE, CMD_JSON_TREE };
struct json_t;
void cmd_print_json(const struct json_t *j, enum cmd_json form); /* to stdout */
/* Unix milliseconds as a time in UTC, to stdout; 0, which is none, as a dash. */
void cmd_print_time(uint64_t ms);

/* -- configuration and Redis -- */

/* The file named by --config or $PURGELINE_CONFIG, or the one in /etc; NULL if there is none. */
const char *cmd_config_path(const struct cmd_common *o);
/* 0, or CMD_USAGE after printing an error. Release with config_deinit. */
must_use int cmd_load(const struct cmd_common *o, struct config *out);
/* The account named by --account, or the only account; NULL after printing an error. */
const struct config_account *cmd_account(const struct cmd_common *o, const struct config *c);

struct client;
struct redis_address;
/* 0, or an exit code after printing an error. */
must_use int cmd_redis_address(const struct config *c, struct redis_address *out);
must_use int cmd_connect(const struct config *c, struct client **out);
/* For a failed Redis command (negative errno): prints the reason, returns the exit code. */
int cmd_redis_failed(const struct client *client, int err);

/* What a command for one account needs. */
struct cmd_session {
    struct config config;
    const struct config_account *account;
    struct client *client;
};
/* 0, or an exit code after printing an error. */
must_use int cmd_session_open(const struct cmd_common *o, struct cmd_session *s);
void cmd_session_close(struct cmd_session *s);

/* Who runs this command: "root@web1". */
#define CMD_WHO_ROOM 300
void cmd_who(char *out, size_t room);

/* -- words and numbers -- */

/* Parses "250", "250ms", "5s", "2m", "1h" or "3d" into milliseconds. 0 or -EINVAL. */
must_use int cmd_parse_duration(const char *text, uint64_t *ms);
/* Parses "+5s" (from now) or Unix milliseconds. 0 or -EINVAL. */
must_use int cmd_parse_when(const char *text, uint64_t now_ms, uint64_t *ms);
/* The value of an option that is a time in the past: a duration before now ("2h"), a date
 * ("2026-11-29", "2026-11-29T14:30+01:00", without a zone in UTC), or Unix ms. It is never 0.
 * 0, or an exit code after it has said what is wrong. */
must_use int cmd_take_past(const char *option, const char *text, uint64_t *ms);
/* "850 ms", "4.2 s", "3 min", "2 h", "5 d" */
const char *cmd_duration_words(char *out, size_t room, uint64_t ms);
/* 12345678 as "12,345,678" */
const char *cmd_number_words(char *out, size_t room, uint64_t n);

enum cmd_colour { CMD_PLAIN, CMD_BOLD, CMD_RED, CMD_YELLOW, CMD_GREEN, CMD_DIM };
/* The escape sequence that starts the colour, or "" if stdout is not a terminal, TERM is "dumb", or
 * NO_COLOR is set (https://no-color.org). CMD_PLAIN resets the colour. */
const char *cmd_colour(enum cmd_colour colour);

/* -- progress bar on stderr, if that is a terminal -- */

struct cmd_progress {
    const char *what;
    uint64_t total; /* 0 = unknown */
    uint64_t shown_ns;
    bool on, drawn;
};
void cmd_progress_begin(struct cmd_progress *p, const char *what, uint64_t total);
void cmd_progress_at(struct cmd_progress *p, uint64_t done, const char *note);
void cmd_progress_end(struct cmd_progress *p); /* erases the bar */
