/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "consumer.h"
#include "job.h"
#include "json_text.h"
#include "lines.h"
#include "log.h"
#include "message_map.h"
#include "stop_limit.h"
#include "stop_signal.h"

const char cmd_consume_help[] =
    "usage: purgeline consume [OPTION...] NAME\n"
    "       purgeline consume [OPTION...] --dry-run --from FILE NAME\n"
    "\n"
    "Takes messages from a message queue and pushes the purges that they ask for, until\n"
    "SIGTERM or SIGINT. NAME is one of the consumers: in the configuration, which says where\n"
    "the messages are and what to purge for each.\n"
    "\n"
    "A message is acknowledged to the queue only after Redis has its job, so none is lost, and\n"
    "after a crash some purges are done twice. A message that cannot become a job becomes a\n"
    "dead letter (purgeline dead list), and the next ones go on. While Redis is away, or the\n"
    "account has backlog_max jobs, or is paused and the consumer has `while_paused: stop`, no\n"
    "messages are fetched. On a signal it finishes the messages that it has fetched, within 8\n"
    "seconds.\n"
    "\n"
    "      --dry-run        show what messages would purge, without any connection\n"
    "  -f, --from FILE      with --dry-run: the messages, one per line; - is standard input\n"
    "  -j, --json           with --dry-run: one JSON object per message\n"
    "  -l, --log-level L    debug, info (default), warn or error\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline consume articles\n"
    "  redis-cli LRANGE changes 0 9 | purgeline consume --dry-run --from - articles\n"
    "\n"
    "exit codes: 0 stopped as asked; with --dry-run: all messages can be understood; 1 some\n"
    "cannot; 2 wrong arguments or configuration\n";

enum long_only { OPT_DRY_RUN = 256 };

static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                        {"redis", required_argument, NULL, 'r'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"from", required_argument, NULL, 'f'},
                                        {"dry-run", no_argument, NULL, OPT_DRY_RUN},
                                        {"log-level", required_argument, NULL, 'l'},
                                        {NULL, 0, NULL, 0}};

struct consume {
    struct cmd_common common;
    bool dry_run;
    const char *from;
    struct config config;
    const struct config_consumer *consumer;
    const struct config_account *account;
};

/* -- what messages would purge -- */

struct rehearsal {
    const struct consume *k;
    struct message_map *mapping;
    struct job_decoder decoder;
    uint64_t wrong;
};

static void show_wrong(struct rehearsal *r, uint64_t line, const char *what, const char *why)
{
    json_t *o;

    if (!r->k->common.json) {
        cmd_print("line %" PRIu64 ": %s: %s\n", line, what, why);
        return;
    }
    o = json_pack("{sIso}", "line", (json_int_t)line, what, json_text_of(why));
    cmd_print_json(o, CMD_JSON_LINE);
    json_decref(o);
}

static void show_job_json(uint64_t line, const struct mapped_job *m)
{
    json_t *fields = json_array(), *o;

    for (size_t i = 0; i < m->count; i += 2)
        json_array_append_new(
            fields, json_pack("[oo]", json_text(m->fields[i]), json_text(m->fields[i + 1])));
    o = json_pack("{sIsoso}", "line", (json_int_t)line, "lane", json_text_of(lane_names[m->lane]),
                  "job", fields);
    cmd_print_json(o, CMD_JSON_LINE);
    json_decref(o);
}

static void show_job(struct rehearsal *r, uint64_t line, const struct mapped_job *m)
{
    if (r->k->common.json) {
        show_job_json(line, m);
        return;
    }
    cmd_print("line %" PRIu64 ": %s", line, lane_names[m->lane]);
    for (size_t i = 0; i < m->count; i += 2)
        cmd_print(" %.*s=%.*s", (int)m->fields[i].n, m->fields[i].p, (int)m->fields[i + 1].n,
                  m->fields[i + 1].p);
    cmd_print("\n");
}

static void rehearse(struct rehearsal *r, uint64_t line, struct span text)
{
    const struct source_message message = {.body = text};
    struct job_spec spec;
    struct mapped_job job;
    struct error err;
    int rc = message_map_apply(r->mapping, &message, &job, &err);

    if (rc == -ENOENT) {
        show_wrong(r, line, "ignored", err.text);
        return;
    }
    if (rc == 0)
        rc = job_decode(&r->decoder, r->k->account, job.fields, job.count, &spec, &err);
    if (rc == 0) {
        show_job(r, line, &job);
        return;
    }
    r->wrong++;
    show_wrong(r, line, "dead letter", err.text);
}

static int read_messages(struct rehearsal *r, FILE *file)
{
    struct lines lines;
    struct span line;
    int rc;

    lines_init(&lines, file, MESSAGE_BODY_MAX_BYTES);
    while ((rc = lines_next(&lines, &line)) > 0 || rc == -EMSGSIZE) {
        if (rc == -EMSGSIZE) {
            r->wrong++;
            show_wrong(r, lines.number, "dead letter", "the message is longer than 16 MiB");
        } else if (line.n) {
            rehearse(r, lines.number, line);
        }
    }
    lines_deinit(&lines);
    return rc < 0 ? cmd_fail(CMD_FAILED, "%s: %s", r->k->from, strerror(-rc)) : 0;
}

static int dry_run(const struct consume *k)
{
    struct rehearsal r = {.k = k};
    bool is_stdin = strcmp(k->from, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(k->from, "re");
    struct error err;
    int rc;

    if (!file)
        return cmd_fail(CMD_USAGE, "--from: %s: %s", k->from, strerror(errno));
    r.mapping = message_map_new(k->consumer, &err);
    job_decoder_init(&r.decoder);
    rc = r.mapping ? read_messages(&r, file) : cmd_fail(CMD_USAGE, "%s", err.text);
    job_decoder_deinit(&r.decoder);
    message_map_free(r.mapping);
    if (!is_stdin)
        fclose(file);
    return rc != 0 ? rc : r.wrong ? CMD_FAILED : CMD_OK;
}

/* -- running -- */

static int consume(const struct consume *k)
{
    struct redis_address address;
    struct consumer_options o = {.config = &k->config, .consumer = k->consumer, .redis = &address};
    struct consumer_counts counts;
    struct stop_limit *limit;
    struct error err;
    int rc = cmd_redis_address(&k->config, &address);

    if (rc != 0)
        return rc;
    o.source = source_of(k->consumer, &err);
    if (!o.source) {
        redis_address_deinit(&address);
        return cmd_fail(CMD_USAGE, "%s", err.text);
    }
    o.stop_fd = stop_signal_fd();
    if (o.stop_fd < 0) {
        redis_address_deinit(&address);
        return cmd_fail(CMD_FAILED, "no file descriptor is left: %s", strerror(-o.stop_fd));
    }
    log_info("Consuming messages", "consumer=%s source=%s topic=%s account=%s", k->consumer->name,
             o.source->name, k->consumer->topic, k->account->name);
    limit = stop_limit_new(o.stop_fd, k->consumer->name);
    rc = consumer_run(&o, &counts, &err);
    stop_limit_free(limit);
    redis_address_deinit(&address);
    close(o.stop_fd);
    if (rc < 0)
        return cmd_fail(rc == -EINVAL ? CMD_USAGE : CMD_FAILED, "%s", err.text);
    log_info("Stopped as asked",
             "consumer=%s jobs=%" PRIu64 " ignored=%" PRIu64 " dead_letters=%" PRIu64,
             k->consumer->name, counts.jobs, counts.ignored, counts.dead);
    return CMD_OK;
}

/* -- arguments -- */

static int take_options(struct consume *k, int argc, char **argv)
{
    enum log_level level = LOG_INFO;
    int opt;

    while ((opt = getopt_long(argc, argv, "c:r:jhf:l:", options, NULL)) != -1) {
        if (opt == OPT_DRY_RUN)
            k->dry_run = true;
        else if (opt == 'f')
            k->from = optarg;
        else if (opt == 'l' && log_level_parse(optarg, &level) < 0)
            return cmd_fail(CMD_USAGE, "--log-level: debug, info, warn or error, not %s", optarg);
        else if (opt != 'l' && (opt == 'h' || !cmd_take_common(&k->common, opt)))
            break;
    }
    log_set_level(level);
    return cmd_after_options("consume", opt, cmd_consume_help);
}

static int check_arguments(const struct consume *k, int count, char **names)
{
    if (count == 0)
        return cmd_fail(CMD_USAGE, "which consumer? Try 'purgeline consume --help'");
    if (count > 1)
        return cmd_fail(CMD_USAGE, "unexpected argument %s: one process runs one consumer",
                        names[1]);
    if (k->dry_run != (k->from != NULL))
        return cmd_fail(CMD_USAGE, "--dry-run and --from belong together");
    if (k->common.json && !k->dry_run)
        return cmd_fail(CMD_USAGE, "--json belongs to --dry-run");
    return 0;
}

static int find_consumer(struct consume *k, const char *name)
{
    const char *account;

    k->consumer = config_consumer(&k->config, name);
    if (!k->consumer) {
        cmd_fail(CMD_USAGE, "no consumer '%s'%s", name,
                 k->config.consumers_count ? "; there is" : "; the configuration has no consumers");
        for (uint32_t i = 0; i < k->config.consumers_count; i++)
            cmd_tell("  %s\n", k->config.consumers[i].name);
        return CMD_USAGE;
    }
    account = k->consumer->mapping.account;
    k->account = config_account(&k->config, *account ? account : NULL);
    return k->account ? 0 : cmd_fail(CMD_USAGE, "no account '%s'", account);
}

int cmd_consume(int argc, char **argv)
{
    struct consume k = {0};
    int rc = take_options(&k, argc, argv);

    if (rc != -1)
        return rc;
    rc = check_arguments(&k, argc - optind, argv + optind);
    if (rc == 0)
        rc = cmd_load(&k.common, &k.config);
    if (rc != 0)
        return rc;
    rc = find_consumer(&k, argv[optind]);
    if (rc == 0)
        rc = k.dry_run ? dry_run(&k) : consume(&k);
    config_deinit(&k.config);
    return rc;
}
