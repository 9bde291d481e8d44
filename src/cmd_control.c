/* SPDX-License-Identifier: MIT */
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

static int control(const char *command, const char *help, enum control_state state, int argc,
                   char **argv)
{
    struct cmd_common o = {0};
    struct cmd_session s;
    char why[CONTROL_WHY_MAX_BYTES + 1], by[300];
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1)
        if (opt == 'h' || !cmd_take_common(&o, opt))
            break;
    rc = cmd_after_options(command, opt, help);
    if (rc != -1)
        return rc;
    if (state == CONTROL_GOES_ON && optind < argc)
        return cmd_fail(CMD_USAGE, "no argument '%s' is known", argv[optind]);
    rc = cmd_session_open(&o, &s);
    if (rc != 0)
        return rc;
    join(why, sizeof(why), argc - optind, argv + optind);
    who(by, sizeof(by));
    rc = control_set(s.client, s.account->name, state, why, by);
    if (rc < 0)
        rc = cmd_redis_failed(s.client, rc);
    else
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
