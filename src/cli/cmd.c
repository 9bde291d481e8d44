/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "config_file.h"
#include "help_text.h"
#include "redis_config.h"
#include "redis_error.h"
#include "setting.h"
#include "suggest.h"

#define CONFIG_PATH "/etc/purgeline/purgeline.yaml"
#define DIGITS "0123456789"
#define UNIX_MS_MIN UINT64_C(100000000000) /* 1973; smaller numbers are durations */

static char command_name[32] = "purgeline";

static char *const *arguments;

void cmd_begin(const char *command, char *const *argv)
{
    arguments = argv;
    snprintf(command_name, sizeof(command_name), "purgeline %s", command);
}

const char *cmd_name(void)
{
    return command_name;
}

bool cmd_take_common(struct cmd_common *o, int opt)
{
    switch (opt) {
    case 'c':
        o->config = optarg;
        return true;
    case 'a':
        o->account = optarg;
        return true;
    case 'r':
        o->redis = optarg;
        return true;
    case 'j':
        o->json = true;
        return true;
    default:
        return false;
    }
}

#define OPTIONS_MAX 64 /* of a command; no suggestion is made of further ones */

struct option_names {
    char text[OPTIONS_MAX][32];
    const char *at[OPTIONS_MAX];
    size_t count;
};

static void add_option(void *ctx, const struct help_option *o)
{
    struct option_names *all = ctx;

    for (size_t i = 0; i < array_len(o->names); i++) {
        if (o->names[i].n == 0 || all->count == OPTIONS_MAX)
            continue;
        snprintf(all->text[all->count], sizeof(all->text[0]), "%.*s", (int)o->names[i].n,
                 o->names[i].p);
        all->at[all->count] = all->text[all->count];
        all->count++;
    }
}

/* getopt has said what is wrong with the argument before optind. optopt is 0 if it is a long option
 * that does not exist. */
static void suggest_option(const char *help)
{
    const char *wrong = arguments && optind > 0 ? arguments[optind - 1] : "";
    struct option_names all = {.count = 0};
    const char *meant = NULL;
    char name[64];

    if (optopt == 0 && strncmp(wrong, "--", 2) == 0) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(wrong + 2, "="), wrong + 2);
        help_each_option(help, add_option, &all);
        meant = suggest_word(name, all.at, all.count);
    }
    if (meant)
        cmd_tell("Did you mean '--%s'? ", meant);
}

int cmd_after_options(const char *command, int opt, const char *help)
{
    if (opt == -1)
        return -1;
    if (opt == 'h') {
        fputs(help, stdout);
        return CMD_OK;
    }
    suggest_option(help);
    cmd_tell("Try 'purgeline %s --help'.\n", command);
    return CMD_USAGE;
}

/* -- configuration -- */

const char *cmd_config_path(const struct cmd_common *o)
{
    const char *path = o->config ? o->config : getenv("PURGELINE_CONFIG");

    if (path && *path)
        return path;
    return access(CONFIG_PATH, F_OK) == 0 ? CONFIG_PATH : NULL;
}

int cmd_load(const struct cmd_common *o, struct config *out)
{
    struct error err;

    if (config_load(cmd_config_path(o), o->redis, out, &err) < 0)
        return cmd_fail(CMD_USAGE, "%s", err.text);
    return 0;
}

const struct config_account *cmd_account(const struct cmd_common *o, const struct config *c)
{
    const struct config_account *a = config_account(c, o->account);

    if (a)
        return a;
    if (o->account)
        cmd_tell("%s: no account '%s'; there is", command_name, o->account);
    else
        cmd_tell("%s: which account? --account is one of", command_name);
    for (uint32_t i = 0; i < c->accounts_count; i++)
        cmd_tell("%s %s", i ? "," : "", c->accounts[i].name);
    cmd_tell("\n");
    return NULL;
}

/* -- Redis -- */

int cmd_redis_address(const struct config *c, struct redis_address *out)
{
    struct error err;

    return redis_config_address(c, out, &err) < 0 ? cmd_fail(CMD_USAGE, "%s", err.text) : 0;
}

/* `err` and `words` are those of client_open. */
static int cannot_connect(int err, const char *name, const char *words)
{
    const char *advice = redis_error_advice(redis_error_of(words));

    if (err == -ENOENT || err == -ECONNREFUSED)
        advice = "start it there, or name another one with --redis or in the configuration";
    if (*advice)
        return cmd_fail(CMD_REDIS, "Redis at %s: %s (%s)", name, words, advice);
    return cmd_fail(CMD_REDIS, "Redis at %s: %s", name, words);
}

int cmd_connect(const struct config *c, struct client **out)
{
    struct redis_address address;
    struct error err;
    char name[300];
    int rc = cmd_redis_address(c, &address);

    if (rc != 0)
        return rc;
    redis_address_name(&address, name, sizeof(name));
    rc = client_open(&address, out, &err);
    if (rc == 0)
        ;
    else if (config_redis_embedded(c) && (rc == -ENOENT || rc == -ECONNREFUSED))
        rc = cmd_fail(CMD_REDIS, "purgeline run is not running here (nobody at the socket %s)",
                      address.unix_path);
    else if (config_redis_embedded(c) && rc == -EACCES)
        rc = cmd_fail(
            CMD_REDIS,
            "the socket %s belongs to another user's purgeline: use sudo, or POST to http://%s",
            address.unix_path, *c->listen ? c->listen : "its `listen` address");
    else
        rc = cannot_connect(rc, name, err.text);
    redis_address_deinit(&address);
    return rc;
}

int cmd_redis_failed(const struct client *client, int err)
{
    const char *words = client_error(client);
    const char *shown = redis_error_shown(words);
    const char *advice = redis_error_advice(redis_error_of(words));

    if (err == -ENOTCONN)
        return cmd_fail(CMD_REDIS, "the connection to Redis broke: %s", words);
    if (err == CLIENT_FEW)
        return cmd_fail(CMD_FAILED, "%s", words);
    if (*advice && shown != advice)
        return cmd_fail(CMD_FAILED, "Redis refuses: %s (%s)", shown, advice);
    return cmd_fail(CMD_FAILED, "Redis refuses: %s", shown);
}

int cmd_session_open(const struct cmd_common *o, struct cmd_session *s)
{
    int rc = cmd_load(o, &s->config);

    if (rc != 0)
        return rc;
    s->account = cmd_account(o, &s->config);
    rc = s->account ? cmd_connect(&s->config, &s->client) : CMD_USAGE;
    if (rc != 0)
        config_deinit(&s->config);
    return rc;
}

void cmd_session_close(struct cmd_session *s)
{
    client_close(s->client);
    config_deinit(&s->config);
}

/* -- words and numbers -- */

int cmd_parse_duration(const char *text, uint64_t *ms)
{
    static const struct {
        const char *suffix;
        uint64_t ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, DIGITS);
    uint64_t n;

    if (span_to_u64(span_of(text, digits), &n) < 0)
        return -EINVAL;
    for (size_t i = 0; i < array_len(units); i++) {
        if (strcmp(text + digits, units[i].suffix) != 0 || n > UINT64_MAX / units[i].ms)
            continue;
        *ms = n * units[i].ms;
        return 0;
    }
    return -EINVAL;
}

int cmd_parse_when(const char *text, uint64_t now_ms, uint64_t *ms)
{
    uint64_t after;

    if (*text != '+')
        return span_to_u64(span_str(text), ms) < 0 ? -EINVAL : 0;
    if (cmd_parse_duration(text + 1, &after) < 0 || after > UINT64_MAX - now_ms)
        return -EINVAL;
    *ms = now_ms + after;
    return 0;
}

/* Takes "Z", "+01:00" or "+0100" off *text, in minutes east of Greenwich; without one it is UTC. */
static int take_zone(const char **text, long *minutes)
{
    const char *p = *text;
    bool colon;

    *minutes = 0;
    if (*p == 'Z')
        ++*text;
    if (*p != '+' && *p != '-')
        return 0;
    colon = strspn(p + 1, DIGITS) == 2 && p[3] == ':';
    if (strspn(p + 1, DIGITS) != (colon ? 2 : 4) || (colon && strspn(p + 4, DIGITS) != 2))
        return -1;
    *minutes =
        (p[1] - '0') * 600 + (p[2] - '0') * 60 + (p[3 + colon] - '0') * 10 + p[4 + colon] - '0';
    if (*minutes >= 24 * 60 || p[3 + colon] > '5')
        return -1;
    *minutes = *p == '-' ? -*minutes : *minutes;
    *text = p + 5 + colon;
    return 0;
}

/* Digits of a second's fraction after the first three are ignored. */
static uint64_t take_fraction(const char **text)
{
    size_t n = **text == '.' ? strspn(*text + 1, DIGITS) : 0;
    uint64_t ms = 0;

    for (size_t i = 1; n && i <= 3; i++)
        ms = ms * 10 + (i <= n ? (uint64_t)((*text)[i] - '0') : 0);
    *text += n ? n + 1 : 0;
    return ms;
}

/* A date alone, or with a time, as RFC 3339 writes it. A day that the month does not have is none.
 */
static int parse_date(const char *text, uint64_t *ms)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M", "%Y-%m-%d"};

    for (size_t i = 0; i < array_len(forms); i++) {
        struct tm tm = {0}, is;
        const char *end = strptime(text, forms[i], &tm);
        uint64_t fraction = end && i < 2 ? take_fraction(&end) : 0;
        long zone = 0;
        time_t at;

        if (!end || (i + 1 < array_len(forms) && take_zone(&end, &zone) < 0) || *end)
            continue;
        is = tm;
        at = timegm(&is) - zone * 60;
        if (is.tm_mday != tm.tm_mday || at < 0)
            return -1;
        *ms = (uint64_t)at * 1000 + fraction;
        return 0;
    }
    return -1;
}

int cmd_take_past(const char *option, const char *text, uint64_t *ms)
{
    uint64_t n, now = clock_wall_ms();

    if (parse_date(text, ms) < 0) {
        if (cmd_parse_duration(text, &n) < 0)
            return cmd_fail(CMD_USAGE, "--%s: expected 2h, 2026-11-29T14:30 or Unix ms, found '%s'",
                            option, text);
        *ms = strspn(text, DIGITS) == strlen(text) && n >= UNIX_MS_MIN ? n : minus_u64(now, n);
    }
    *ms = max_u64(*ms, 1); /* 0 would mean that the option is not given */
    return 0;
}

const char *cmd_duration_words(char *out, size_t room, uint64_t ms)
{
    if (ms < 1000)
        snprintf(out, room, "%" PRIu64 " ms", ms);
    else if (ms < 60000)
        snprintf(out, room, "%.1f s", (double)ms / 1000);
    else if (ms < 3600000)
        snprintf(out, room, "%" PRIu64 " min", ms / 60000);
    else if (ms < 172800000)
        snprintf(out, room, "%" PRIu64 " h", ms / 3600000);
    else
        snprintf(out, room, "%" PRIu64 " d", ms / 86400000);
    return out;
}

const char *cmd_number_words(char *out, size_t room, uint64_t n)
{
    char digits[24];
    int count = snprintf(digits, sizeof(digits), "%" PRIu64, n);
    size_t used = 0;

    for (int i = 0; i < count && used + 3 < room; i++) {
        if (i && (count - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

/* -- progress -- */

#define REDRAW_NS (NS_PER_S / 10)
#define BAR_WIDTH 30

void cmd_progress_begin(struct cmd_progress *p, const char *what, uint64_t total)
{
    *p = (struct cmd_progress){.what = what, .total = total, .on = isatty(STDERR_FILENO) == 1};
}

void cmd_progress_at(struct cmd_progress *p, uint64_t done, const char *note)
{
    uint64_t now = clock_mono_ns();
    int full;

    if (!p->on || (p->drawn && now - p->shown_ns < REDRAW_NS))
        return;
    p->shown_ns = now;
    p->drawn = true;
    full = p->total ? (int)(min_u64(done, p->total) * BAR_WIDTH / p->total) : 0;
    cmd_tell("\r\033[K%s ", p->what);
    if (p->total)
        cmd_tell("[%.*s%*s] %3d %% ", full, "##############################", BAR_WIDTH - full, "",
                 (int)(min_u64(done, p->total) * 100 / p->total));
    cmd_tell("%s", note);
    fflush(stderr);
}

void cmd_progress_end(struct cmd_progress *p)
{
    if (p->drawn)
        cmd_tell("\r\033[K");
    p->drawn = false;
}
