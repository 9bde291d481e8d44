/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "suggest.h"

static int cmd_help(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *sentence;
    const char *help; /* NULL: the overview */
} commands[] = {
    {"run", cmd_run, "dispatch purges from Redis to Fastly", cmd_run_help},
    {"push", cmd_push, "put purges into the queue", cmd_push_help},
    {"consume", cmd_consume, "push purges for the messages of a queue", cmd_consume_help},
    {"status", cmd_status, "show backlog, budget, leader and problems", cmd_status_help},
    {"plan", cmd_plan, "predict what purges will cost and when they will be done", cmd_plan_help},
    {"dead", cmd_dead, "list, retry or delete dead letters", cmd_dead_help},
    {"pause", cmd_pause, "stop sending for an account, but keep accepting jobs", cmd_pause_help},
    {"resume", cmd_resume, "end a pause", cmd_resume_help},
    {"check", cmd_check, "test configuration, Redis, token and services", cmd_check_help},
    {"doctor", cmd_doctor, "explain how Fastly caches a page, and whether purging it works",
     cmd_doctor_help},
    {"help", cmd_help, "show the help of a command", NULL},
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < array_len(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void overview(FILE *out)
{
    fputs("purgeline " PURGELINE_VERSION ": queue, merge, batch and rate-limit purges for Fastly\n"
          "\n"
          "usage: purgeline COMMAND [OPTION...] [ARGUMENT...]\n"
          "\n",
          out);
    for (size_t i = 0; i < array_len(commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].sentence);
    fputs("\n"
          "start here:\n"
          "  FASTLY_API_TOKEN=... FASTLY_SERVICE_ID=... purgeline run\n"
          "  purgeline push article-17 home\n"
          "  purgeline status\n"
          "\n"
          "exit codes: 0 done; 1 failed or refused, wholly or partly; 2 wrong arguments or\n"
          "configuration; 3 Redis cannot be reached; 4 timed out\n",
          out);
}

static int unknown(const char *name)
{
    const char *names[array_len(commands)], *meant;

    for (size_t i = 0; i < array_len(commands); i++)
        names[i] = commands[i].name;
    meant = suggest_word(name, names, array_len(names));
    fprintf(stderr, "purgeline: no command '%s'", name);
    if (meant)
        fprintf(stderr, "; did you mean '%s'?", meant);
    fputs("\nTry 'purgeline help'.\n", stderr);
    return CMD_USAGE;
}

static int cmd_help(int argc, char **argv)
{
    const struct command *c = argc > 1 ? find(argv[1]) : NULL;

    if (argc > 1 && !c)
        return unknown(argv[1]);
    if (c && c->help)
        fputs(c->help, stdout);
    else
        overview(stdout);
    return CMD_OK;
}

static int run(int argc, char **argv)
{
    static char name[32];
    const struct command *c;

    if (argc < 2) {
        overview(stderr);
        return CMD_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("purgeline " PURGELINE_VERSION);
        return CMD_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return cmd_help(argc - 1, argv + 1);
    c = find(argv[1]);
    if (!c)
        return unknown(argv[1]);
    snprintf(name, sizeof(name), "purgeline %s", c->name); /* getopt begins its messages with it */
    argv[1] = name;
    cmd_begin(c->name);
    return c->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int code;

    /* Programs that use OpenSSL or GnuTLS write the TLS keys of every connection to the file that
     * SSLKEYLOGFILE names. With these keys, anyone who recorded the traffic could read our tokens:
     * https://curl.se/docs/manpage.html "SSLKEYLOGFILE". */
    unsetenv("SSLKEYLOGFILE");
    signal(SIGPIPE, SIG_IGN); /* a write to a closed connection fails; it must not end us */
    code = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("purgeline: cannot write to stdout\n", stderr);
        return code == CMD_OK ? CMD_FAILED : code;
    }
    return code;
}
