/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "cmd.h"
#include "rediskey.h"

#define WHY_MAX_BYTES 150

const char cmd_pause_help[] =
    "usage: purgeline pause [OPTION...] [WHY...]\n"
    "\n"
    "Stops sending for an account until 'purgeline resume'. Jobs are still accepted and\n"
    "kept; what is on the wire is finished. Holds across restarts.\n"
    "\n"
    "  -a, --account NAME   needed when there are several\n"
    "  -j, --json           what was set, as JSON\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline pause while the origin is rebuilt\n"
    "\n"
    "exit codes: 0 done; 1 Redis refused; 2 wrong arguments; 3 Redis cannot be reached\n";

const char cmd_resume_help[] =
    "usage: purgeline resume [OPTION...]\n"
    "\n"
    "Ends the pause of an account, whoever began it: a person, or the dispatcher itself\n"
    "after Fastly refused the token. What waits is sent within the budget.\n"
    "\n"
    "  -a, --account NAME   needed when there are several\n"
    "  -j, --json           what was set, as JSON\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline resume --account main\n"
    "\n"
    "exit codes: 0 done; 1 Redis refused; 2 wrong arguments; 3 Redis cannot be reached\n";

static const struct option options[] = {CMD_LONG, {NULL, 0, NULL, 0}};

static void who(char *out, size_t room)
{
    const struct passwd *pw = getpwuid(getuid());
    char host[256] = "";

    gethostname(host, sizeof(host) - 1);
    snprintf(out, room, "%s@%s", pw ? pw->pw_name : "somebody", host);
}

static void join(char *out, size_t room, int argc, char **argv)
{
    size_t used = 0;

    *out = '\0';
    for (int i = 0; i < argc && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%s", i ? " " : "", argv[i]);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

static int set(struct cmd_session *s, bool paused, const char *why, const char *by)
{
    char *key = rediskey(s->account->name, "control"), at[32];
    struct redisReply *reply;
    int rc;

    snprintf(at, sizeof(at), "%" PRIu64, clock_wall_ms());
    rc = client_ask_words(s->client,
                          (const char *const[]){"HSET", key, "paused", paused ? "1" : "0", "why",
                                                why, "by", by, "at", at, NULL},
                          &reply);
    free(key);
    return rc < 0 ? cmd_redis_failed(s->client, rc) : CMD_OK;
}

static void tell(const struct cmd_common *o, const char *account, bool paused, const char *why)
{
    json_t *j;

    if (!o->json) {
        printf("account %s %s\n", account, paused ? "is paused" : "goes on");
        return;
    }
    j = json_pack("{sssbss%}", "account", account, "paused", (int)paused, "why", why, strlen(why));
    if (j)
        json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(j);
}

static int control(const char *command, const char *help, bool paused, int argc, char **argv)
{
    struct cmd_common o = {0};
    struct cmd_session s;
    char why[WHY_MAX_BYTES], by[300];
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1)
        if (opt == 'h' || !cmd_take_common(&o, opt))
            break;
    rc = cmd_after_options(command, opt, help);
    if (rc != -1)
        return rc;
    if (!paused && optind < argc)
        return cmd_fail(CMD_USAGE, "no argument '%s' is known", argv[optind]);
    rc = cmd_session_open(&o, &s);
    if (rc != 0)
        return rc;
    join(why, sizeof(why), argc - optind, argv + optind);
    who(by, sizeof(by));
    rc = set(&s, paused, why, by);
    if (rc == CMD_OK)
        tell(&o, s.account->name, paused, why);
    cmd_session_close(&s);
    return rc;
}

int cmd_pause(int argc, char **argv)
{
    return control("pause", cmd_pause_help, true, argc, argv);
}

int cmd_resume(int argc, char **argv)
{
    return control("resume", cmd_resume_help, false, argc, argv);
}
