/* SPDX-License-Identifier: MIT */
#include "setting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "setting_form.h"
#include "setting_value.h"
#include "target.h"

const struct setting *setting_find(enum setting_scope scope, const char *name)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++)
        if (table[i].scope == scope && strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

uint32_t setting_words_max(const struct setting *s)
{
    return s->max ? (uint32_t)s->max : CONFIG_WORDS_MAX;
}

/* -- describing the allowed values -- */

/* "a, b or c", with `last` before the last one. */
static void choices(const struct setting *s, const char *last, struct buf *out)
{
    for (size_t i = 0; i < s->choices_count; i++)
        buf_printf(out, "%s%s",
                   i == 0                     ? ""
                   : i + 1 < s->choices_count ? ", "
                                              : last,
                   s->choices[i]);
}

void setting_expects(const struct setting *s, struct buf *out)
{
    switch (s->type) {
    case SETTING_GROUP:
        buf_printf(out, "settings below it");
        break;
    case SETTING_TEXT:
        buf_printf(out, "%s%s", setting_form_one(s->form), s->may_be_empty ? ", or nothing" : "");
        break;
    case SETTING_NUMBER:
        buf_printf(out, "a number from %llu to %llu", (unsigned long long)s->min,
                   (unsigned long long)s->max);
        if (s->word)
            buf_printf(out, ", or %s", s->word);
        break;
    case SETTING_BYTES:
        buf_printf(out, "a size from ");
        setting_value_print_bytes(s->min, out);
        buf_printf(out, " to ");
        setting_value_print_bytes(s->max, out);
        break;
    case SETTING_FLAG:
        buf_printf(out, "true or false");
        break;
    case SETTING_CHOICE:
        choices(s, " or ", out);
        break;
    case SETTING_SET:
        buf_printf(out, "some of ");
        choices(s, " and ", out);
        break;
    case SETTING_WORDS:
        if (s->may_be_text)
            buf_printf(out, "%s, or a list of ", setting_form_one(s->form));
        buf_printf(out, "up to %u %s", setting_words_max(s), setting_form_many(s->form));
        break;
    case SETTING_SERVICES:
        buf_printf(out, "up to %d services with an id of at most %d letters and digits",
                   CONFIG_SERVICES_MAX, SERVICE_ID_MAX_BYTES);
        break;
    }
}

/* Describes what one word of a list must look like. */
static void word_expects(const struct setting *s, struct buf *out)
{
    if (s->type == SETTING_SET)
        choices(s, " or ", out);
    else
        buf_printf(out, "%s", setting_form_one(s->form));
}

static void say_found(const struct setting *s, const char *text, struct buf *expects,
                      struct error *err)
{
    if (s->secret || !*text)
        error_set(err, -EINVAL, "expected %s%s", expects->p, *text ? "" : ", found nothing");
    else
        error_set(err, -EINVAL, "expected %s, found '%.80s'%s", expects->p, text,
                  strlen(text) > 80 ? "..." : "");
}

int setting_set(const struct setting *s, void *base, const char *text, struct error *err)
{
    struct buf expects;
    int rc = setting_value_set(s, base, text);

    if (rc == 0)
        return 0;
    buf_init(&expects, 4096);
    setting_expects(s, &expects);
    say_found(s, text, &expects, err);
    buf_deinit(&expects);
    return rc;
}

int setting_set_words(const struct setting *s, void *base, char *const *words, uint32_t count,
                      uint32_t *wrong, struct error *err)
{
    struct buf expects;
    int rc = setting_value_set_words(s, base, words, count, wrong);

    if (rc == 0)
        return 0;
    buf_init(&expects, 4096);
    word_expects(s, &expects);
    say_found(s, *wrong < count ? words[*wrong] : "", &expects, err);
    buf_deinit(&expects);
    return rc;
}

static const char *text_of(const struct setting *s, const void *base)
{
    return *(char *const *)((const char *)base + s->offset);
}

bool setting_same(const struct setting *s, const void *a, const void *b)
{
    struct buf x, y;
    bool same;

    if (s->type == SETTING_GROUP)
        return true;
    if (s->type == SETTING_TEXT) /* printing would hide passwords */
        return strcmp(text_of(s, a), text_of(s, b)) == 0;
    buf_init(&x, SIZE_MAX / 2);
    buf_init(&y, SIZE_MAX / 2);
    setting_value_print(s, a, &x);
    setting_value_print(s, b, &y);
    same = span_eq(buf_span(&x), buf_span(&y));
    buf_deinit(&x);
    buf_deinit(&y);
    return same;
}

void setting_copy(const struct setting *s, void *to, const void *from)
{
    char *at = (char *)to + s->offset;

    must(s->type != SETTING_GROUP && s->type != SETTING_WORDS && s->type != SETTING_SERVICES);
    if (s->type != SETTING_TEXT) {
        memcpy(at, (const char *)from + s->offset, s->size);
        return;
    }
    free(*(char **)at);
    *(char **)at = alloc_str(text_of(s, from));
}

bool setting_env_name(const struct setting *s, char *out, size_t room)
{
    int n;

    if (s->type == SETTING_GROUP || (s->scope != SETTING_GLOBAL && s->scope != SETTING_ACCOUNT))
        return false;
    n = snprintf(out, room, "PURGELINE_%s", s->name);
    must(n > 0 && (size_t)n < room);
    for (char *c = out; *c; c++)
        *c = *c == '.' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    return true;
}

/* -- all of a scope -- */

static void set_ours(const struct setting *s, void *base, const char *text)
{
    struct error err;
    int rc = setting_set(s, base, text, &err);

    must(rc == 0);
}

void setting_set_defaults(enum setting_scope scope, void *base)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];

        if (s->scope != scope || s->type == SETTING_GROUP)
            continue;
        if (s->fallback)
            set_ours(s, base, s->fallback);
        else
            setting_value_clear(s, base);
    }
}

void setting_set_examples(enum setting_scope scope, void *base)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++)
        if (table[i].scope == scope && table[i].example)
            set_ours(&table[i], base, table[i].example);
}

void setting_free(enum setting_scope scope, void *base)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++)
        if (table[i].scope == scope)
            setting_value_free(&table[i], base);
}

/* -- lists -- */

#define LIST(member, type)                                                                         \
    .offset = offsetof(struct config, member), .item_size = sizeof(struct type),                   \
    .count_offset = offsetof(struct config, member##_count)

static const struct setting_list lists[SETTING_SCOPE_N] = {
    [SETTING_ACCOUNT] = {.name = "accounts",
                         .one = "an account",
                         .max = CONFIG_ACCOUNTS_MAX,
                         LIST(accounts, config_account)},
    [SETTING_PRODUCER] = {.name = "producers",
                          .one = "a producer",
                          .max = CONFIG_PRODUCERS_MAX,
                          LIST(producers, config_producer),
                          .sentence = "Clients that may push over HTTP. Without producers, only "
                                      "users of this machine may push."},
    [SETTING_HOOK] =
        {.name = "hooks",
         .one = "a hook",
         .max = CONFIG_HOOKS_MAX,
         LIST(hooks, config_hook),
         .sentence = "Publishing systems that post JSON of their own, and what to purge then."},
    [SETTING_CONSUMER] =
        {.name = "consumers",
         .one = "a consumer",
         .max = CONFIG_CONSUMERS_MAX,
         LIST(consumers, config_consumer),
         .sentence = "Message queues, and what to purge for each message: `purgeline consume`."},
    [SETTING_CANARY] = {.name = "canaries",
                        .one = "a canary",
                        .max = CONFIG_CANARIES_MAX,
                        LIST(canaries, config_canary),
                        .sentence =
                            "Pages by which it is seen whether purges have an effect: each is "
                            "purged by key and by URL\n"
                            "in turn, on the budget, and looked at through Fastly."},
};

const struct setting_list *setting_list(enum setting_scope scope)
{
    return lists[scope].name ? &lists[scope] : NULL;
}

uint32_t setting_list_count(enum setting_scope scope, const struct config *c)
{
    return *(const uint32_t *)((const char *)c + lists[scope].count_offset);
}

void *setting_list_at(enum setting_scope scope, const struct config *c, uint32_t index)
{
    char *items = *(char *const *)((const char *)c + lists[scope].offset);

    return items + index * lists[scope].item_size;
}

void *setting_list_add(enum setting_scope scope, struct config *c)
{
    char **items = (char **)((char *)c + lists[scope].offset);
    uint32_t *count = (uint32_t *)((char *)c + lists[scope].count_offset);
    char *item;

    *items = alloc_grow(*items, *count + 1, lists[scope].item_size);
    item = *items + (*count)++ * lists[scope].item_size;
    memset(item, 0, lists[scope].item_size);
    setting_set_defaults(scope, item);
    return item;
}
