/* SPDX-License-Identifier: MIT */
#include "cmd_jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "job.h"
#include "json_text.h"
#include "lines.h"
#include "verify_page.h"
#include "when.h"

#define DRIP_MAX_MS (UINT64_C(30) * 24 * 3600 * 1000)

void cmd_jobs_init(struct cmd_jobs *j, uint64_t now_ms)
{
    *j = (struct cmd_jobs){.lane = LANE_NORMAL, .per_job = 1, .now_ms = now_ms};
    jobform_init(&j->defaults, LANE_NORMAL);
}

void cmd_jobs_deinit(struct cmd_jobs *j)
{
    jobform_deinit(&j->defaults);
}

/* -- options -- */

int cmd_jobs_bad_option(const char *name, const char *expected)
{
    return cmd_fail(CMD_USAGE, "--%s: expected %s, found '%s'", name, expected, optarg);
}

static int take_time(struct cmd_jobs *j, const char *option, const char *field)
{
    bool duration = strcmp(field, "repeat_after") == 0;
    uint64_t ms;
    char text[32];

    if (duration && strcmp(optarg, REPEAT_AUTO) == 0) {
        jobform_put(&j->defaults, field, SPAN(REPEAT_AUTO));
        return 0;
    }
    if ((duration ? cmd_parse_duration(optarg, &ms) : cmd_parse_when(optarg, j->now_ms, &ms)) < 0)
        return cmd_jobs_bad_option(option, duration ? "a time like 2s, or auto"
                                                    : "+5s, or Unix milliseconds");
    snprintf(text, sizeof(text), "%" PRIu64, ms);
    jobform_put(&j->defaults, field, span_str(text));
    return 0;
}

static int take_per_job(struct cmd_jobs *j)
{
    if (span_to_u64(span_str(optarg), &j->per_job) < 0 || j->per_job < 1 ||
        j->per_job > JOB_TARGETS_MAX)
        return cmd_jobs_bad_option("per-job", "a number from 1 to 10000");
    return 0;
}

static int take_drip(struct cmd_jobs *j)
{
    if (cmd_parse_duration(optarg, &j->drip_ms) < 0 || j->drip_ms == 0 || j->drip_ms > DRIP_MAX_MS)
        return cmd_jobs_bad_option("drip", "a time like 30m, at most 30 days");
    return 0;
}

static int take_when(struct cmd_jobs *j)
{
    struct when when;
    struct error err;

    if (when_parse(span_str(optarg), &when, &err) < 0)
        return cmd_fail(CMD_USAGE, "--%s", err.text);
    jobform_put(&j->defaults, "when", span_str(optarg));
    return 0;
}

static int take_verify_page(struct cmd_jobs *j)
{
    json_t *object = json_pack("{so}", "url", json_text_of(optarg));
    char *text = json_text_line(object);
    struct verify_page page;
    struct error err;
    int rc = verify_page_parse(span_str(text), &page, &err);

    if (rc == 0)
        jobform_put(&j->defaults, "verify", span_str(text));
    free(text);
    json_decref(object);
    return rc == 0 ? 0 : cmd_fail(CMD_USAGE, "--verify-page: %s", err.text);
}

static int take_field(struct cmd_jobs *j, int opt)
{
    switch (opt) {
    case CMD_OPT_NOT_BEFORE:
        return take_time(j, "not-before", "not_before");
    case CMD_OPT_EXPIRES:
        return take_time(j, "expires", "expires");
    case CMD_OPT_REPEAT_AFTER:
        return take_time(j, "repeat-after", "repeat_after");
    case 's':
        jobform_put(&j->defaults, "service", span_str(optarg));
        return 0;
    case CMD_OPT_REF:
        jobform_put(&j->defaults, "ref", span_str(optarg));
        return 0;
    case CMD_OPT_WHEN:
        return take_when(j);
    case CMD_OPT_DRIP:
        return take_drip(j);
    case CMD_OPT_SOFT:
        jobform_put(&j->defaults, "soft", SPAN("1"));
        return 0;
    case CMD_OPT_VERIFY:
        jobform_put(&j->defaults, "verify", SPAN("1"));
        return 0;
    case CMD_OPT_VERIFY_PAGE:
        return take_verify_page(j);
    case CMD_OPT_ALL:
        jobform_put(&j->defaults, "all", SPAN("1"));
        return 0;
    default:
        must(!"an option without a case");
        return CMD_USAGE;
    }
}

int cmd_jobs_take(struct cmd_jobs *j, int opt)
{
    switch (opt) {
    case 'f':
        j->file = optarg;
        return 0;
    case 'n':
        return take_per_job(j);
    case 'l':
        return lane_parse(span_str(optarg), &j->lane) < 0
                   ? cmd_jobs_bad_option("lane", "urgent, normal or bulk")
                   : 0;
    case CMD_OPT_KEY:
        j->kind = JOBFORM_KEY;
        return 0;
    case CMD_OPT_URL:
        j->kind = JOBFORM_URL;
        return 0;
    default:
        return take_field(j, opt);
    }
}

static bool has_field(const struct jobform *f, const char *name)
{
    for (size_t i = 0; i < f->count; i += 2)
        if (span_is(f->fields[i], name))
            return true;
    return false;
}

static bool names_all(const struct cmd_jobs *j)
{
    return has_field(&j->defaults, "all");
}

int cmd_jobs_check(const struct cmd_jobs *j, int targets)
{
    if (j->file && (targets || names_all(j)))
        return cmd_fail(CMD_USAGE, "--file, or targets as arguments, or --all");
    if (targets && names_all(j))
        return cmd_fail(CMD_USAGE, "--all cannot be combined with targets");
    if (j->drip_ms && (!j->file || has_field(&j->defaults, "not_before")))
        return cmd_fail(CMD_USAGE, "--drip needs --file, and excludes --not-before");
    return 0;
}

bool cmd_jobs_any(const struct cmd_jobs *j, int targets)
{
    return j->file || targets || names_all(j);
}

/* -- reading -- */

/* A job made from several lines has the number of its first line. */
struct gathering {
    struct cmd_jobs *jobs;
    const struct cmd_jobs_reader *reader;
    struct jobform form;
    uint64_t lines, first;
    uint64_t all_lines;   /* of the file that are not empty; counted only for --drip */
    uint64_t lines_begun; /* of these, that were read before the job in hand_over */
    bool over;            /* the reader has asked to stop */
};

/* A job that has a not_before of its own keeps it. */
static void put_drip(const struct gathering *g, struct jobform *f)
{
    double share = (double)g->lines_begun / (double)g->all_lines;
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64,
             g->jobs->now_ms + (uint64_t)(share * (double)g->jobs->drip_ms));
    if (!has_field(f, "not_before"))
        jobform_put(f, "not_before", span_str(text));
}

/* Passes the job in the form to the reader and empties the form. */
static void hand_over(struct gathering *g, struct jobform *f, uint64_t line)
{
    const struct span *fields;
    size_t count;

    jobform_add_missing(f, &g->jobs->defaults);
    if (g->all_lines)
        put_drip(g, f);
    fields = jobform_fields(f, &count);
    g->over = !g->reader->job(g->reader->ctx, f->lane, fields, count, line);
    jobform_clear(f, g->jobs->lane);
}

static void refuse_input(const struct gathering *g, uint64_t line, const char *why)
{
    g->reader->wrong(g->reader->ctx, line, why);
}

static void read_arguments(struct gathering *g, int argc, char **argv)
{
    struct error err;
    int rc = 0;

    for (int i = 0; rc == 0 && i < argc; i++)
        rc = jobform_add_targets(&g->form, g->jobs->kind, span_str(argv[i]), &err);
    if (rc == 0)
        hand_over(g, &g->form, 0);
    else
        refuse_input(g, 0, err.text);
}

static void read_json(struct gathering *g, struct span line, uint64_t number)
{
    struct jobform f;
    struct error err;

    jobform_init(&f, g->jobs->lane);
    f.takes_by = true;
    if (jobform_add_json(&f, line, &err) == 0)
        hand_over(g, &f, number);
    else
        refuse_input(g, number, err.text);
    jobform_deinit(&f);
}

static void flush_gathered(struct gathering *g)
{
    if (g->lines && !g->over)
        hand_over(g, &g->form, g->first);
    g->lines_begun += g->lines;
    g->lines = 0;
}

static void read_line(struct gathering *g, struct span line, uint64_t number)
{
    struct error err;

    if (line.n == 0)
        return;
    if (line.p[0] == '{') {
        flush_gathered(g);
        if (!g->over)
            read_json(g, line, number);
        g->lines_begun++;
        return;
    }
    if (g->lines == 0)
        g->first = number;
    if (jobform_add_targets(&g->form, g->jobs->kind, line, &err) < 0)
        refuse_input(g, number, err.text);
    else if (++g->lines == g->jobs->per_job)
        flush_gathered(g);
}

static void show_progress(const struct gathering *g, const struct lines *l)
{
    char note[64];

    cmd_progress_at(g->reader->bar, l->bytes,
                    g->reader->progress(g->reader->ctx, note, sizeof(note)));
}

static void read_lines(struct gathering *g, FILE *file)
{
    struct lines l;
    struct span line;
    int rc;

    lines_init(&l, file, CMD_JOBS_LINE_MAX_BYTES);
    while (!g->over && (rc = lines_next(&l, &line)) != 0) {
        if (rc == -EMSGSIZE) {
            refuse_input(g, l.number, "longer than 16 MiB");
        } else if (rc < 0) {
            refuse_input(g, l.number + 1, strerror(-rc));
            break;
        } else {
            read_line(g, line, l.number);
        }
        show_progress(g, &l);
    }
    flush_gathered(g);
    lines_deinit(&l);
}

/* Counts the lines for --drip, and goes back to the beginning. */
static int count_lines(struct gathering *g, FILE *file)
{
    struct lines l;
    struct span line;
    int rc;

    lines_init(&l, file, CMD_JOBS_LINE_MAX_BYTES);
    while ((rc = lines_next(&l, &line)) != 0 && (rc > 0 || rc == -EMSGSIZE))
        g->all_lines += rc < 0 || line.n > 0;
    lines_deinit(&l);
    return rc == 0 && fseek(file, 0, SEEK_SET) == 0 ? 0 : -EIO;
}

static int read_file(struct gathering *g)
{
    const char *name = g->jobs->file;
    bool in = strcmp(name, "-") == 0;
    FILE *file = in ? stdin : fopen(name, "re");
    struct stat st;

    if (!file)
        return cmd_fail(CMD_USAGE, "%s: %s", name, strerror(errno));
    if (g->jobs->drip_ms && count_lines(g, file) < 0) {
        if (!in)
            fclose(file);
        return cmd_fail(CMD_USAGE, "--drip: %s cannot be read twice; name a file", name);
    }
    cmd_progress_begin(g->reader->bar, g->reader->what,
                       fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
                                                                            : 0);
    if (g->reader->silent)
        g->reader->bar->on = false;
    read_lines(g, file);
    cmd_progress_end(g->reader->bar);
    if (!in)
        fclose(file);
    return 0;
}

int cmd_jobs_read(struct cmd_jobs *j, int argc, char **argv, const struct cmd_jobs_reader *r)
{
    struct gathering g = {.jobs = j, .reader = r};
    int rc = 0;

    jobform_init(&g.form, j->lane);
    g.form.takes_by = true;
    if (j->file)
        rc = read_file(&g);
    else
        read_arguments(&g, argc, argv);
    jobform_deinit(&g.form);
    return rc;
}
