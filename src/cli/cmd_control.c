/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>
#include <unistd.h>

#include "client.h"
#include "cmd.h"
#include "control.h"

const char cmd_pause_help[] =
    "usage: purgeline pause [OPTION...] [WHY...]\n"
    "\n"
    "Stops sending for an account until 'purgeline resume'. Jobs are still accepted and\n"
    "kept. Returns when the leader has stopped sending and all requests in flight have been\n"
    "answered. The pause survives restarts.\n"
    "\n"
    "  -a, --account NAME   required if there are several accounts\n"
    "  -j, --json           print the new state as JSON\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline pause while the origin is rebuilt\n"
    "\n"
    "exit codes: 0 done; 1 Redis refused; 2 wrong arguments; 3 Redis cannot be reached;\n"
    "4 paused, but the leader has not confirmed it within 15 seconds\n";

const char cmd_resume_help[] =
    "usage: purgeline resume [OPTION...]\n"
    "\n"
    "Ends the pause of an account, whether a person paused it or the dispatcher did because\n"
    "Fastly refused the token. Waiting jobs are then sent within the budget.\n"
    "\n"
    "  -a, --account NAME   required if there are several accounts\n"
    "  -j, --json           print the new state as JSON\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline resume --account main\n"
    "\n"
    "exit codes: 0 done; 1 Redis refused; 2 wrong arguments; 3 Redis cannot be reached\n";

static const struct option options[] = {CMD_LONG, {NULL, 0, NULL, 0}};

void cmd_who(char *out, size_t room)
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
    control_clean(out);
}

static void tell(const struct cmd_common *o, const char *account, enum control_state state,
                 const char *why)
{
    json_t *j;

    if (!o->json) {
        cmd_print("account %s %s\n", account, state == CONTROL_PAUSED ? "is paused" : "goes on");
        return;
    }
    j = control_json(account, state, why);
    cmd_print_json(j, CMD_JSON_LINE);
    json_decref(j);
}

/* A request may take as long as the account's timeout_ms, which is 10 s by default. */
#define HOLD_WAIT_MS 15000

static int await_held(const struct cmd_common *o, struct cmd_session *s)
{
    enum control_held held;
    uint64_t in_flight;
    int rc = control_await_held(s->client, s->account->name, HOLD_WAIT_MS, &held, &in_flight);

    if (rc < 0)
        return cmd_redis_failed(s->client, rc);
    if (held == CONTROL_NOBODY && !o->json)
        cmd_print("it has no leader, so nothing was being sent\n");
    if (held != CONTROL_SENDING)
        return CMD_OK;
    return cmd_fail(CMD_TIMEOUT,
                    "the pause is set, but after %u s the leader has not confirmed it (%" PRIu64
                    " requests on the wire): see 'purgeline status'",
                    HOLD_WAIT_MS / 1000, in_flight);
}

static int control(const char *command, const char *help, enum control_state state, int argc,
                   char **argv)
{
    struct cmd_common o = {0};
    struct cmd_session s;
    char why[CONTROL_WHY_MAX_BYTES + 1], by[CMD_WHO_ROOM];
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1)
        if (opt == 'h' || !cmd_take_common(&o, opt))
            break;
    rc = cmd_after_options(command, opt, help);
    if (rc != -1)
        return rc;
    if (state == CONTROL_GOES_ON && optind < argc)
        return cmd_fail(CMD_USAGE, "unexpected argument '%s'", argv[optind]);
    rc = cmd_session_open(&o, &s);
    if (rc != 0)
        return rc;
    join(why, sizeof(why), argc - optind, argv + optind);
    cmd_who(by, sizeof(by));
    rc = control_set(s.client, &(struct actor){s.account, by}, state, why);
    if (rc < 0)
        rc = cmd_redis_failed(s.client, rc);
    else if (state == CONTROL_PAUSED)
        rc = await_held(&o, &s);
    if (rc == CMD_OK || rc == CMD_TIMEOUT)
        tell(&o, s.account->name, state, why);
    cmd_session_close(&s);
    return rc;
}

int cmd_pause(int argc, char **argv)
{
    return control("pause", cmd_pause_help, CONTROL_PAUSED, argc, argv);
}

int cmd_resume(int argc, char **argv)
{
    return control("resume", cmd_resume_help, CONTROL_GOES_ON, argc, argv);
}
