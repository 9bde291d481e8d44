/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "api_read.h"
#include "check.h"
#include "check_canary.h"
#include "check_consumers.h"
#include "check_files.h"
#include "client.h"
#include "clock.h"
#include "cmd.h"
#include "config_file.h"
#include "config_yaml.h"
#include "json_text.h"
#include "log.h"
#include "repair.h"

#define TEXT_MAX_BYTES (16 * 1024 * 1024)

const char cmd_check_help[] =
    "usage: purgeline check [OPTION...]\n"
    "\n"
    "Tests the configuration, whether TLS files and secrets are there, whether Redis is fit\n"
    "to keep jobs, whether Fastly takes the token and for what, and whether the services\n"
    "exist; says what to do about what is wrong. Changes nothing.\n"
    "\n"
    "With --repair it mends keys in Redis that are of another type or hold what cannot be\n"
    "read: it says what it would do for each, and asks. Nothing is deleted: a broken key is\n"
    "renamed to purgeline:{ACCOUNT}:broken:KEY:TIME.\n"
    "\n"
    "With --canary it purges each page under canaries once by key and once by URL, looks at it\n"
    "through Fastly, and says whether purges have an effect, and if not, why. The purges go "
    "through\n"
    "the account's queue: purgeline run must be running. Another purge of the page in these "
    "seconds\n"
    "may hide a fault.\n"
    "\n"
    "      --canary         purge the canary pages and look at them; checks nothing else\n"
    "      --print          print the settings in force as YAML, and no more\n"
    "      --print-sample   print a configuration with every setting explained, and no more\n"
    "      --offline        the configuration and the files that it names; asks nobody\n"
    "      --repair         mend broken keys in Redis, after asking; checks nothing else\n"
    "  -y, --yes            with --repair: do not ask\n"
    "  -a, --account NAME   show this account only\n"
    "  -j, --json           one JSON object per finding\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline check --print-sample > /etc/purgeline/purgeline.yaml\n"
    "  purgeline check && systemctl reload purgeline\n"
    "\n"
    "exit codes: 0 all is well, warnings aside; 1 something is not; 2 wrong arguments or\n"
    "configuration; 3 Redis cannot be reached, whatever else there is\n";

enum long_only { OPT_PRINT = 256, OPT_SAMPLE, OPT_OFFLINE, OPT_REPAIR, OPT_CANARY };

static const struct option options[] = {CMD_LONG,
                                        {"print", no_argument, NULL, OPT_PRINT},
                                        {"print-sample", no_argument, NULL, OPT_SAMPLE},
                                        {"offline", no_argument, NULL, OPT_OFFLINE},
                                        {"repair", no_argument, NULL, OPT_REPAIR},
                                        {"canary", no_argument, NULL, OPT_CANARY},
                                        {"yes", no_argument, NULL, 'y'},
                                        {NULL, 0, NULL, 0}};

struct checking {
    struct cmd_common common;
    bool print, sample, offline, repair, canary, yes;
    bool failed;
};

static void print_json(const struct check_finding *f)
{
    json_t *j = json_pack("{sosososo}", "grade", json_text_of(check_grade_names[f->grade]),
                          "subject", json_text_of(f->subject), "what", json_text_of(f->what),
                          "remedy", json_text_of(f->remedy));

    if (f->account)
        json_object_set_new(j, "account", json_text_of(f->account));
    cmd_print_json(j, CMD_JSON_LINE);
    json_decref(j);
}

static void on_finding(void *ctx, const struct check_finding *f)
{
    static const enum cmd_colour colours[] = {
        [CHECK_OK] = CMD_GREEN, [CHECK_WARN] = CMD_YELLOW, [CHECK_FAIL] = CMD_RED};
    struct checking *k = ctx;

    k->failed |= f->grade == CHECK_FAIL;
    if (k->common.json) {
        print_json(f);
        return;
    }
    cmd_print("%s%-4s%s  %s%s%s: %s\n", cmd_colour(colours[f->grade]), check_grade_names[f->grade],
              cmd_colour(CMD_PLAIN), f->account ? f->account : "", f->account ? " " : "",
              f->subject, f->what);
    if (*f->remedy)
        cmd_print("      -> %s\n", f->remedy);
}

static int print(const struct config *c)
{
    struct buf text;

    buf_init(&text, TEXT_MAX_BYTES);
    config_yaml(c, CONFIG_YAML_PLAIN, &text);
    cmd_print_text(buf_span(&text));
    buf_deinit(&text);
    return CMD_OK;
}

static void check_online(struct checking *k, struct api_reader *reader,
                         const struct config_account *a)
{
    check_authorities(a, on_finding, k);
    check_account(reader, a, clock_wall_ms(), on_finding, k);
}

static int check(struct checking *k, const struct config *c)
{
    const char *path = cmd_config_path(&k->common);
    struct api_reader *reader = api_reader_open(c);
    bool reached = true;

    on_finding(k, &(struct check_finding){.grade = CHECK_OK,
                                          .subject = "configuration",
                                          .what = path ? path : "defaults and environment",
                                          .remedy = ""});
    check_environment(on_finding, k);
    check_http(c, on_finding, k);
    check_exposure(c, on_finding, k);
    if (!k->offline)
        reached = check_redis(c, k->common.account, on_finding, k);
    for (uint32_t i = 0; i < c->accounts_count; i++) {
        const struct config_account *a = &c->accounts[i];

        if (k->common.account && strcmp(k->common.account, a->name) != 0)
            continue;
        if (k->offline)
            check_files(a, on_finding, k);
        else
            check_online(k, reader, a);
    }
    check_reads(c, reader, on_finding, k);
    api_reader_close(reader);
    if (!k->offline)
        check_consumers(c, k->common.account, on_finding, k);
    if (!reached)
        return CMD_REDIS;
    return k->failed ? CMD_FAILED : CMD_OK;
}

/* -- repairing -- */

static bool agreed(const struct checking *k)
{
    char line[16];

    if (k->yes)
        return true;
    if (!isatty(STDIN_FILENO))
        return false;
    cmd_print("Do it? [y/N] ");
    fflush(stdout);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int mend(struct checking *k, struct client *client, const struct config_account *a,
                const struct queue_fault *f)
{
    char how[512];

    repair_explain(a, f, how, sizeof(how));
    cmd_print("%s %s\n      -> %s\n", f->key, f->what, how);
    if (!agreed(k)) {
        cmd_print("left as it is%s\n", isatty(STDIN_FILENO) ? "" : "; --yes does it");
        return CMD_FAILED;
    }
    if (repair_mend(client, a, f) < 0)
        return cmd_fail(CMD_FAILED, "%s: %s", f->key, client_error(client));
    cmd_print("done\n");
    return CMD_OK;
}

static int repair_one(struct checking *k, struct client *client, const struct config_account *a)
{
    struct queue_fault faults[QUEUE_FAULTS_MAX];
    size_t count;
    int rc = repair_find(client, a->name, faults, &count), worst = CMD_OK;

    if (rc < 0)
        return cmd_redis_failed(client, rc);
    if (count == 0)
        cmd_print("account %s: nothing to repair\n", a->name);
    for (size_t i = 0; i < count; i++) {
        rc = mend(k, client, a, &faults[i]);
        worst = rc > worst ? rc : worst;
    }
    return worst;
}

static int repair(struct checking *k, const struct config *c)
{
    struct client *client;
    int rc = cmd_connect(c, &client), worst = CMD_OK;

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < c->accounts_count; i++) {
        if (k->common.account && strcmp(k->common.account, c->accounts[i].name) != 0)
            continue;
        rc = repair_one(k, client, &c->accounts[i]);
        worst = rc > worst ? rc : worst;
    }
    client_close(client);
    return worst;
}

static int load_and_check(struct checking *k)
{
    struct config c;
    int rc = cmd_load(&k->common, &c);

    if (rc != 0)
        return rc;
    if (k->common.account && !cmd_account(&k->common, &c))
        rc = CMD_USAGE;
    else if (k->repair)
        rc = repair(k, &c);
    else if (k->canary)
        rc = check_canaries(&k->common, &c, on_finding, k);
    else
        rc = k->print ? print(&c) : check(k, &c);
    config_deinit(&c);
    return rc;
}

int cmd_check(int argc, char **argv)
{
    struct checking k = {0};
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT "y", options, NULL)) != -1) {
        if (opt == OPT_PRINT)
            k.print = true;
        else if (opt == OPT_SAMPLE)
            k.sample = true;
        else if (opt == OPT_OFFLINE)
            k.offline = true;
        else if (opt == OPT_REPAIR)
            k.repair = true;
        else if (opt == OPT_CANARY)
            k.canary = true;
        else if (opt == 'y')
            k.yes = true;
        else if (opt == 'h' || !cmd_take_common(&k.common, opt))
            break;
    }
    rc = cmd_after_options("check", opt, cmd_check_help);
    if (rc != -1)
        return rc;
    if (optind < argc)
        return cmd_fail(CMD_USAGE, "unexpected argument '%s'", argv[optind]);
    if (k.sample) {
        config_print_sample(stdout);
        return CMD_OK;
    }
    return load_and_check(&k);
}
