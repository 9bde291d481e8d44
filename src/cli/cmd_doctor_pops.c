/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api_read.h"
#include "api_words.h"
#include "clock.h"
#include "cmd_doctor.h"
#include "config_file.h"
#include "json_text.h"

/* Fastly waits for the slowest of its POPs. */
#define POPS_TIMEOUT_MS 60000
#define POPS_LINE 96 /* columns */
#define POPS_INDENT "        "
#define HASH_SHOWN 10

static const char *const pops_cache_words[SIGHTING_CACHE_N] = {
    [SIGHTING_UNSAID] = "?", [SIGHTING_MISS] = "MISS", [SIGHTING_HIT] = "HIT"};

/* -- printing -- */

static void print_pop_json(const struct edge_check_pop *p)
{
    const struct sighting_hop *hop = sighting_pop(&p->seen);
    json_t *j =
        json_pack("{sososo}", "pop", json_text_of(p->name), "server", json_text_of(p->server),
                  "answer", json_text_of(edge_check_answer_names[p->answer]));

    if (p->answer == EDGE_CHECK_CONTENT)
        json_object_set_new(j, "hash", json_text_of(p->hash));
    if (p->answer != EDGE_CHECK_TIMEOUT) {
        json_object_set_new(j, "status", json_integer(p->seen.status));
        json_object_set_new(j, "cache",
                            json_text_of(pops_cache_words[hop ? hop->cache : SIGHTING_UNSAID]));
    }
    if (p->seen.age_known)
        json_object_set_new(j, "age_s", json_integer((json_int_t)p->seen.age_s));
    cmd_print_json(j, CMD_JSON_LINE);
    json_decref(j);
}

/* "amsterdam-nl HIT 120 s" */
static size_t pop_words(char *out, size_t room, const struct edge_check_pop *p)
{
    const struct sighting_hop *hop = sighting_pop(&p->seen);
    char age[32] = "", status[16] = "";

    if (p->answer == EDGE_CHECK_TIMEOUT)
        return (size_t)snprintf(out, room, "%.40s", p->name);
    if (p->seen.age_known)
        snprintf(age, sizeof(age), " %" PRIu64 " s", p->seen.age_s);
    if (p->seen.status != 200)
        snprintf(status, sizeof(status), " %d", p->seen.status);
    return (size_t)snprintf(out, room, "%.40s%s %s%s", p->name, status,
                            pops_cache_words[hop ? hop->cache : SIGHTING_UNSAID], age);
}

static void print_group_head(const struct edge_check_pop *p, size_t count)
{
    const char *many = count == 1 ? "" : "s";

    if (p->answer == EDGE_CHECK_CONTENT)
        cmd_print("%zu POP%s with content %.*s\n", count, many, HASH_SHOWN, p->hash);
    else if (p->answer == EDGE_CHECK_TOO_LARGE)
        cmd_print("%zu POP%s with too large a page to compare\n", count, many);
    else
        cmd_print("%zu POP%s without an answer\n", count, many);
}

/* Prints the POPs [from, to), which hold the same. */
static void print_group(const struct edge_check *e, size_t from, size_t to)
{
    char words[96];
    size_t column = 0;

    print_group_head(&e->pops[from], to - from);
    for (size_t i = from; i < to; i++) {
        size_t n = pop_words(words, sizeof(words), &e->pops[i]);

        if (column && column + 2 + n >= POPS_LINE) {
            cmd_print(",\n");
            column = 0;
        }
        cmd_print("%s%s", column ? ", " : POPS_INDENT, words);
        column += n + (column ? 2 : sizeof(POPS_INDENT) - 1);
    }
    cmd_print("\n");
}

static bool same_content(const struct edge_check_pop *a, const struct edge_check_pop *b)
{
    return a->answer == b->answer && strcmp(a->hash, b->hash) == 0;
}

static void print_pops(const struct edge_check *e, bool json)
{
    size_t from = 0;

    for (size_t i = 0; json && i < e->count; i++)
        print_pop_json(&e->pops[i]);
    for (size_t i = 1; !json && i <= e->count; i++) {
        if (i < e->count && same_content(&e->pops[i], &e->pops[from]))
            continue;
        print_group(e, from, i);
        from = i;
    }
}

/* -- asking -- */

static int refuse_status(int status, struct span body)
{
    json_t *doc = json_loadb(body.n ? body.p : "", body.n, 0, NULL);
    char words[320];

    api_words(doc, words, sizeof(words));
    json_decref(doc);
    if (status == 429)
        return cmd_fail(
            CMD_FAILED,
            "edge_check: Fastly answers 429%s: of its %d requests an hour, none is left", words,
            EDGE_CHECKS_PER_HOUR);
    if (status == 401 || status == 403)
        return cmd_fail(CMD_FAILED,
                        "Fastly refuses edge_check, status %d%s: it needs a valid token of the "
                        "customer who has the host of the URL",
                        status, words);
    return cmd_fail(CMD_FAILED, "edge_check: status %d%s", status, words);
}

static int fetch_pops(struct api_reader *reader, const struct config_account *account,
                      const struct fetch_secrets *secrets, const char *url, struct buf *body)
{
    struct config_account patient = *account;
    char *path = edge_check_path(url);
    struct fetch_answer answer = {0};
    struct error err;
    int rc;

    patient.timeout_ms = POPS_TIMEOUT_MS;
    rc = api_read(reader, &patient, secrets, READ_EDGE_CHECK, path, body, &answer, &err);
    free(path);
    if (rc == -EAGAIN)
        return cmd_fail(CMD_FAILED, "edge_check was not asked: %s", err.text);
    if (rc < 0)
        return cmd_fail(CMD_FAILED, "%s/content/edge_check: %s", account->api, err.text);
    return answer.status == 200 ? CMD_OK : refuse_status(answer.status, buf_span(body));
}

static int ask_pops(struct api_reader *reader, const struct config_account *account,
                    const char *url, struct buf *body)
{
    struct fetch_secrets secrets;
    char *token, *auth;
    struct error err;
    int rc;

    if (config_read_token(account, &token, &err) < 0)
        return cmd_fail(CMD_USAGE, "--all-pops needs the API token: %s", err.text);
    rc = config_read_proxy_auth(account, &auth, &err);
    if (rc == 0) {
        secrets = (struct fetch_secrets){token, auth};
        rc = fetch_pops(reader, account, &secrets, url, body);
        explicit_bzero(auth, strlen(auth));
        free(auth);
    } else {
        rc = cmd_fail(CMD_USAGE, "%s", err.text);
    }
    explicit_bzero(token, strlen(token));
    free(token);
    return rc;
}

static void tell_uncounted(const struct api_reader *reader, diagnosis_cb *cb, void *ctx)
{
    char what[600];

    if (!*api_reader_uncounted(reader))
        return;
    snprintf(what, sizeof(what), "the request is not counted, because Redis does not answer: %s",
             api_reader_uncounted(reader));
    cb(ctx, &(struct diagnosis_finding){
                .grade = DIAGNOSIS_NOTE, .subject = "limits", .what = what, .advice = ""});
}

static int explain_pops(struct span body, const struct diagnosis_pops_purge *purge, bool json,
                        diagnosis_cb *cb, void *ctx)
{
    struct edge_check e;
    struct error err;

    if (edge_check_read(&e, body, &err) < 0)
        return cmd_fail(CMD_FAILED, "edge_check: %s", err.text);
    print_pops(&e, json);
    diagnosis_pops(&e, purge, cb, ctx);
    edge_check_deinit(&e);
    return CMD_OK;
}

int cmd_doctor_pops(const struct cmd_common *common, const char *url,
                    const struct diagnosis_pops_purge *purge, diagnosis_cb *cb, void *ctx)
{
    const struct config_account *account;
    struct diagnosis_pops_purge answered;
    struct api_reader *reader;
    struct config config;
    struct buf body;
    uint64_t began_ns = clock_mono_ns();
    int rc = cmd_load(common, &config);

    if (rc != 0)
        return rc;
    account = cmd_account(common, &config);
    buf_init(&body, EDGE_CHECK_MAX_BYTES);
    reader = api_reader_open(&config);
    rc = account ? ask_pops(reader, account, url, &body) : CMD_USAGE;
    tell_uncounted(reader, cb, ctx);
    if (rc == CMD_OK && purge) {
        answered = *purge;
        answered.most_ms += (clock_mono_ns() - began_ns) / NS_PER_MS;
        purge = &answered;
    }
    if (rc == CMD_OK)
        rc = explain_pops(buf_span(&body), purge, common->json, cb, ctx);
    api_reader_close(reader);
    buf_deinit(&body);
    config_deinit(&config);
    return rc;
}
