/* SPDX-License-Identifier: MIT */
#include "cmd_plan.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"

#define COMPLAINTS_SHOWN 20
#define REQUESTS_SHOWN 20
#define REQUESTS_MAX 1000
#define REPLY_MS 50
#define REPLY_MAX_MS 600000

const char cmd_plan_help[] =
    "usage: purgeline plan [OPTION...] TARGET...\n"
    "       purgeline plan [OPTION...] --file FILE\n"
    "       purgeline plan [OPTION...] --backlog\n"
    "\n"
    "Predicts the course of purges without sending anything: how many targets are left after\n"
    "merging, how many requests they need and what these cost, when each lane will be done,\n"
    "how much of the budget will be left, and how long an urgent purge pushed right after\n"
    "them would wait. It runs the dispatcher's own code in simulated time and only reads\n"
    "from Redis.\n"
    "\n"
    "Targets and files are the same as for 'purgeline push'. The plan assumes that every\n"
    "request succeeds, that nobody else uses the budget, and that one dispatcher runs without\n"
    "interruption.\n"
    "\n"
    "  -b, --backlog          plan the jobs now waiting in Redis, instead of a list\n" CMD_JOBS_HELP
    "      --fresh            assume that the whole budget is left; Redis is then not\n"
    "                         needed, except for --backlog\n"
    "      --reply-ms N       assume that Fastly answers after N ms (default 50)\n"
    "      --requests[=N]     list the first N requests, too (default 20, at most 1000)\n"
    "  -j, --json             one JSON object\n"
    "  -a, --account NAME     required if there are several accounts\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline plan --backlog                  when will the backlog be done?\n"
    "  purgeline plan --lane bulk --file keys    push this now, or better tonight?\n"
    "  purgeline plan --fresh --requests a b c   what would be sent for these?\n"
    "  purgeline plan -b -j | jq .urgent.wait_ms\n"
    "\n"
    "exit codes: 0 all would be purged; 1 some would be refused, expire or never be sent;\n"
    "2 wrong arguments; 3 Redis cannot be reached (without --backlog this is not an error:\n"
    "the whole budget is then assumed to be left)\n";

enum long_only { OPT_FRESH = 256, OPT_REPLY_MS, OPT_REQUESTS };

static const struct option options[] = {CMD_LONG,
                                        CMD_JOBS_LONG,
                                        {"backlog", no_argument, NULL, 'b'},
                                        {"fresh", no_argument, NULL, OPT_FRESH},
                                        {"reply-ms", required_argument, NULL, OPT_REPLY_MS},
                                        {"requests", optional_argument, NULL, OPT_REQUESTS},
                                        {NULL, 0, NULL, 0}};

/* -- options -- */

static int take_number(const char *name, uint64_t most, uint64_t *out)
{
    char expected[64];

    if (span_to_u64(span_str(optarg), out) == 0 && *out <= most)
        return 0;
    snprintf(expected, sizeof(expected), "a number up to %" PRIu64, most);
    return cmd_jobs_bad_option(name, expected);
}

static int take_option(struct planning *g, int opt)
{
    if (cmd_take_common(&g->common, opt))
        return 0;
    switch (opt) {
    case 'b':
        g->backlog = true;
        return 0;
    case OPT_FRESH:
        g->fresh = true;
        return 0;
    case OPT_REPLY_MS:
        return take_number("reply-ms", REPLY_MAX_MS, &g->reply_ms);
    case OPT_REQUESTS:
        g->requests_wanted = REQUESTS_SHOWN;
        return optarg ? take_number("requests", REQUESTS_MAX, &g->requests_wanted) : 0;
    default:
        return cmd_jobs_take(&g->jobs, opt);
    }
}

static int take_options(struct planning *g, int argc, char **argv)
{
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT CMD_JOBS_SHORT "b", options, NULL)) != -1) {
        if (opt == '?' || opt == 'h')
            break;
        rc = take_option(g, opt);
        if (rc != 0)
            return rc;
    }
    return cmd_after_options("plan", opt, cmd_plan_help);
}

static int check_arguments(const struct planning *g, int targets)
{
    bool any = cmd_jobs_any(&g->jobs, targets);

    if (g->backlog && any)
        return cmd_fail(CMD_USAGE, "--backlog, or purges of your own");
    if (!g->backlog && !any)
        return cmd_fail(CMD_USAGE, "what is to be planned? Try 'purgeline plan --help'");
    return cmd_jobs_check(&g->jobs, targets);
}

/* -- planning -- */

static void complain(struct planning *g, uint64_t line, const char *why)
{
    if (g->complaints++ >= COMPLAINTS_SHOWN)
        return;
    cmd_progress_end(&g->progress);
    if (line)
        cmd_fail(CMD_FAILED, "line %" PRIu64 ": %s", line, why);
    else
        cmd_fail(CMD_FAILED, "%s", why);
}

static void on_wrong_line(void *ctx, uint64_t line, const char *why)
{
    struct planning *g = ctx;

    g->wrong++;
    complain(g, line, why);
}

static bool take(void *ctx, enum lane lane, const struct span *fields, size_t count, uint64_t line)
{
    struct planning *g = ctx;
    struct error why;

    if (plan_take(g->plan, lane, fields, count, &why) < 0)
        complain(g, line, why.text);
    g->taken++;
    return true;
}

static const char *taken(void *ctx, char *text, size_t room)
{
    const struct planning *g = ctx;
    char words[32];

    snprintf(text, room, "%s jobs", cmd_number_words(words, sizeof(words), g->taken));
    return text;
}

static bool on_page(void *ctx, uint64_t jobs)
{
    struct planning *g = ctx;
    char text[64];

    g->taken = jobs;
    cmd_progress_at(&g->progress, jobs, taken(g, text, sizeof(text)));
    return true;
}

static int read_backlog(struct planning *g)
{
    int rc;

    cmd_progress_begin(&g->progress, "reading", cmd_plan_waiting(g));
    rc = backlog_read_jobs(g->client, g->account, g->plan, &g->refused, on_page, g);
    cmd_progress_end(&g->progress);
    return rc < 0 ? cmd_redis_failed(g->client, rc) : 0;
}

static int read_list(struct planning *g, int argc, char **argv)
{
    const struct cmd_jobs_reader r = {.job = take,
                                      .wrong = on_wrong_line,
                                      .progress = taken,
                                      .ctx = g,
                                      .bar = &g->progress,
                                      .what = "planning"};

    return cmd_jobs_read(&g->jobs, argc, argv, &r);
}

static int read_redis(struct planning *g)
{
    int rc = overview_read(g->client, g->account, &g->overview);

    if (rc == 0 && !g->fresh)
        rc = backlog_read_budget(g->client, g->account, g->plan);
    return rc < 0 ? cmd_redis_failed(g->client, rc) : 0;
}

static int exit_code(const struct planning *g)
{
    const struct plan_result *r = &g->result;

    return g->wrong || r->refused || r->expired || r->beyond || r->never ? CMD_FAILED : CMD_OK;
}

static int make_plan(struct planning *g, int argc, char **argv)
{
    struct plan_options o = {.account = g->account,
                             .window = g->config.window,
                             .reply_ms = (uint32_t)g->reply_ms,
                             .wall_ms = g->jobs.now_ms,
                             .request = cmd_plan_keep_request,
                             .ctx = g};
    int rc = 0;

    g->plan = plan_new(&o);
    g->requests = json_array();
    if (g->client)
        rc = read_redis(g);
    if (rc == 0)
        rc = g->backlog ? read_backlog(g) : read_list(g, argc, argv);
    plan_finish(g->plan, &g->result);
    if (rc == 0) {
        cmd_plan_show(g);
        rc = exit_code(g);
    }
    json_decref(g->requests);
    overview_deinit(&g->overview);
    plan_free(g->plan);
    return rc;
}

/* If no service is configured, for example on a producer's machine, the services named by --service
 * are accepted, as `push` does. */
static int add_named_services(struct planning *g)
{
    struct config_account *a = &g->config.accounts[g->account - g->config.accounts];
    const struct jobform *named = &g->jobs.defaults;
    bool any = a->services_count > 0;
    int rc = 0;

    for (size_t i = 0; !any && rc == 0 && i < named->count; i += 2)
        if (span_is(named->fields[i], "service") && service_id_ok(named->fields[i + 1]) &&
            !config_service(a, named->fields[i + 1].p))
            rc = config_services_add(a, named->fields[i + 1], SPAN(""));
    return rc;
}

static int connect_to_redis(struct planning *g)
{
    int rc = cmd_connect(&g->config, &g->client);

    if (rc == CMD_REDIS && !g->backlog) {
        cmd_fail(CMD_OK, "so nothing counts as spent; --fresh says that this is meant");
        rc = 0;
    }
    return rc;
}

static int load_and_plan(struct planning *g, int argc, char **argv)
{
    int rc = check_arguments(g, argc);

    if (rc == 0)
        rc = cmd_load(&g->common, &g->config);
    if (rc != 0)
        return rc;
    g->account = cmd_account(&g->common, &g->config);
    rc = g->account && add_named_services(g) == 0 ? 0 : CMD_USAGE;
    if (rc == 0 && (g->backlog || !g->fresh))
        rc = connect_to_redis(g);
    if (rc == 0)
        rc = make_plan(g, argc, argv);
    client_close(g->client);
    config_deinit(&g->config);
    return rc;
}

int cmd_plan(int argc, char **argv)
{
    struct planning g = {.reply_ms = REPLY_MS};
    int rc;

    cmd_jobs_init(&g.jobs, clock_wall_ms());
    rc = take_options(&g, argc, argv);
    if (rc == -1)
        rc = load_and_plan(&g, argc - optind, argv + optind);
    cmd_jobs_deinit(&g.jobs);
    return rc;
}
