/* SPDX-License-Identifier: MIT */
#include "job.h"
#include "setting.h"

static const char *const url_modes[] = {[URL_MODE_API] = "api", [URL_MODE_DIRECT] = "direct"};
static const char *const key_forms[] = {[KEY_FORM_HEADER] = "header", [KEY_FORM_JSON] = "json"};
static const char *const batch_costs[] = {
    [BATCH_COST_KEY] = "key", [BATCH_COST_REQUEST] = "request"};
static const char *const receipt_kinds[] = {
    [RECEIPTS_NONE] = "none", [RECEIPTS_FAILED] = "failed", [RECEIPTS_ALL] = "all"};

static const char *const receipt_places[] = {
    [RECEIPTS_IN_KEYS] = "keys", [RECEIPTS_IN_HISTORY] = "history"};
static const char *const producer_kinds[] = {"url", "key", "all"}; /* bits: PRODUCER_URL ... */
static const char *const hook_schemes[] = {[HOOK_HMAC_SHA256] = "hmac-sha256",
                                           [HOOK_HMAC_SHA1] = "hmac-sha1",
                                           [HOOK_TOKEN] = "token",
                                           [HOOK_UNSIGNED] = "unsigned"};
static const char *const hook_encodings[] = {
    [HOOK_HEX] = "hex", [HOOK_BASE64] = "base64", [HOOK_BASE64URL] = "base64url"};

static const char *const consumer_sources[] = {[CONSUMER_REDIS_LIST] = "redis-list",
                                               [CONSUMER_REDIS_STREAM] = "redis-stream",
                                               [CONSUMER_POSTGRES] = "postgres",
                                               [CONSUMER_AMQP] = "amqp",
                                               [CONSUMER_NATS] = "nats",
                                               [CONSUMER_KAFKA] = "kafka"};
static const char *const consumer_sasls[] = {[CONSUMER_PLAIN] = "plain",
                                             [CONSUMER_SCRAM_SHA_256] = "scram-sha-256",
                                             [CONSUMER_SCRAM_SHA_512] = "scram-sha-512"};
static const char *const consumer_while_paused[] = {
    [CONSUMER_CONTINUE] = "continue", [CONSUMER_STOP] = "stop"};
static const char *const consumer_ends[] = {[CONSUMER_LEFT] = "left", [CONSUMER_RIGHT] = "right"};
static const char *const consumer_jobs[] = {[CONSUMER_MAPPED] = "mapped", [CONSUMER_JSON] = "json"};

#define IN(scope_, type_, member)                                                                  \
    .scope = (scope_), .offset = offsetof(struct type_, member),                                   \
    .size = sizeof(((struct type_ *)NULL)->member)
#define GLOBAL(member) IN(SETTING_GLOBAL, config, member)
#define ACCOUNT(member) IN(SETTING_ACCOUNT, config_account, member)
#define PRODUCER(member) IN(SETTING_PRODUCER, config_producer, member)
#define HOOK(member) IN(SETTING_HOOK, config_hook, member)
#define CONSUMER(member) IN(SETTING_CONSUMER, config_consumer, member)
#define CANARY(member) IN(SETTING_CANARY, config_canary, member)
#define GROUP(scope_, name_) .name = (name_), .scope = (scope_), .type = SETTING_GROUP
#define TEXT(form_) .type = SETTING_TEXT, .form = (form_)
#define TEXT_OR_NONE(form_) TEXT(form_), .may_be_empty = true
#define OF_REDIS(member, form_)                                                                    \
    .name = #member, GLOBAL(member), .reload = SETTING_RESTART, TEXT_OR_NONE(form_), .fallback = ""
#define WORDS(form_) .type = SETTING_WORDS, .form = (form_)
#define WORD_OR_WORDS(form_, max_) WORDS(form_), .may_be_text = true, .max = (max_)
#define SET(names) .type = SETTING_SET, .choices = (names), .choices_count = array_len(names)
#define NUMBER(min_, max_) .type = SETTING_NUMBER, .min = (min_), .max = (max_)
#define BYTES(min_, max_) .type = SETTING_BYTES, .min = (min_), .max = (max_)
#define CHOICE(names) .type = SETTING_CHOICE, .choices = (names), .choices_count = array_len(names)
#define UNITS_MAX UINT64_C(1000000000000)
#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

static const struct setting table[] = {
/* In the order of the sample configuration. */
/* clang-format off */
#include "settings_global.inc"
#include "settings_account.inc"
#include "settings_producer.inc"
#include "settings_hook.inc"
#include "settings_consumer.inc"
#include "settings_canary.inc"
    /* clang-format on */
};

const struct setting *setting_table(size_t *count)
{
    *count = array_len(table);
    return table;
}
