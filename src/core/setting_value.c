/* SPDX-License-Identifier: MIT */
#include "setting_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "setting_form.h"
#include "target.h"

static int set_text(const struct setting *s, char **at, const char *text)
{
    size_t n = strlen(text);

    if (!setting_form_ok(s->form, text) && !(s->may_be_empty && n == 0))
        return -EINVAL;
    while (s->form == SETTING_FORM_API && text[n - 1] == '/')
        n--; /* requests add their own slash */
    free(*at);
    *at = alloc_copy(text, n);
    for (char *c = *at; s->form == SETTING_FORM_SHA256 && *c; c++)
        *c = *c >= 'A' && *c <= 'F' ? (char)(*c - 'A' + 'a') : *c;
    return 0;
}

static int set_number(const struct setting *s, void *at, const char *text)
{
    uint64_t v;

    if (s->word && strcmp(text, s->word) == 0)
        v = UINT32_MAX;
    else if (span_to_u64(span_str(text), &v) < 0 || v < s->min || v > s->max)
        return -EINVAL;
    must(s->size == sizeof(uint32_t) || s->size == sizeof(uint64_t));
    if (s->size == sizeof(uint32_t))
        *(uint32_t *)at = (uint32_t)v;
    else
        *(uint64_t *)at = v;
    return 0;
}

static const char *const byte_units[] = {"", "KiB", "MiB", "GiB", "TiB"}; /* powers of 1024 */

static int set_bytes(const struct setting *s, uint64_t *at, const char *text)
{
    size_t digits = strspn(text, "0123456789"), unit = 0;
    uint64_t v;

    must(s->size == sizeof(*at));
    while (unit < array_len(byte_units) && strcmp(text + digits, byte_units[unit]) != 0)
        unit++;
    if (unit == array_len(byte_units) || span_to_u64(span_of(text, digits), &v) < 0 ||
        v > s->max >> (10 * unit) || v << (10 * unit) < s->min)
        return -EINVAL;
    *at = v << (10 * unit);
    return 0;
}

static int set_flag(bool *at, const char *text)
{
    bool yes = strcmp(text, "true") == 0, no = strcmp(text, "false") == 0;

    if (!yes && !no)
        return -EINVAL;
    *at = yes;
    return 0;
}

/* The index of the choice, or -EINVAL. */
static int choice_of(const struct setting *s, const char *text)
{
    for (size_t i = 0; i < s->choices_count; i++)
        if (strcmp(text, s->choices[i]) == 0)
            return (int)i;
    return -EINVAL;
}

static int set_choice(const struct setting *s, void *at, const char *text)
{
    int choice = choice_of(s, text);

    if (choice < 0)
        return choice;
    must(s->size == sizeof(choice));
    memcpy(at, &choice, sizeof(choice));
    return 0;
}

/* -- lists -- */

int config_words_add(struct config_words *w, struct span word)
{
    if (w->count == CONFIG_WORDS_MAX)
        return -EINVAL;
    w->at = alloc_grow(w->at, w->count + 1, sizeof(*w->at));
    w->at[w->count++] = alloc_copy(word.p, word.n);
    return 0;
}

void config_words_free(struct config_words *w)
{
    if (!w)
        return;
    for (uint32_t i = 0; i < w->count; i++)
        free(w->at[i]);
    free(w->at);
    *w = (struct config_words){0};
}

bool config_words_have_host(const struct config_words *w, struct span host)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (span_eq_nocase(host, span_str(w->at[i])))
            return true;
    return false;
}

int config_services_add(struct config_account *a, struct span id, struct span name)
{
    if (a->services_count == CONFIG_SERVICES_MAX || !service_id_ok(id) ||
        name.n > SERVICE_NAME_MAX_BYTES)
        return -EINVAL;
    a->services = alloc_grow(a->services, a->services_count + 1, sizeof(*a->services));
    a->services[a->services_count].id = alloc_copy(id.p, id.n);
    a->services[a->services_count++].name = alloc_copy(name.p, name.n);
    return 0;
}

void config_services_free(struct config_account *a)
{
    for (uint32_t i = 0; i < a->services_count; i++) {
        free(a->services[i].id);
        free(a->services[i].name);
    }
    free(a->services);
    a->services = NULL;
    a->services_count = 0;
}

static int add_service(struct config_account *a, struct span item)
{
    const char *eq = memchr(item.p, '=', item.n);
    size_t id_bytes = eq ? (size_t)(eq - item.p) : item.n;

    return config_services_add(a, span_trim(span_of(item.p, id_bytes)),
                               eq ? span_trim(span_of(eq + 1, item.n - id_bytes - 1)) : SPAN(""));
}

/* Builds the new list in a temporary account, so that a bad item leaves the old list unchanged. */
static int set_services(struct config_account *a, const char *text)
{
    struct config_account fresh = {0};
    struct span rest = span_str(text), item;
    int rc = 0;

    while (rc == 0 && span_next_word(&rest, ',', &item))
        rc = add_service(&fresh, span_trim(item));
    if (rc < 0) {
        config_services_free(&fresh);
        return rc;
    }
    config_services_free(a);
    a->services = fresh.services;
    a->services_count = fresh.services_count;
    return 0;
}

static int set_words(const struct setting *s, struct config_words *at, char *const *words,
                     uint32_t count, uint32_t *wrong)
{
    struct config_words fresh = {0};

    for (*wrong = 0; *wrong < count; (*wrong)++) {
        const char *word = words[*wrong];

        if (!setting_form_ok(s->form, word) || config_words_add(&fresh, span_str(word)) < 0) {
            config_words_free(&fresh);
            return -EINVAL;
        }
    }
    config_words_free(at);
    *at = fresh;
    return 0;
}

static int set_set(const struct setting *s, uint32_t *at, char *const *words, uint32_t count,
                   uint32_t *wrong)
{
    uint32_t set = 0;

    must(s->size == sizeof(set) && s->choices_count < 32);
    for (*wrong = 0; *wrong < count; (*wrong)++) {
        int choice = choice_of(s, words[*wrong]);

        if (choice < 0)
            return choice;
        set |= UINT32_C(1) << choice;
    }
    if (!set)
        return -EINVAL;
    *at = set;
    return 0;
}

int setting_value_set_words(const struct setting *s, void *base, char *const *words, uint32_t count,
                            uint32_t *wrong)
{
    void *at = (char *)base + s->offset;

    must(s->type == SETTING_WORDS || s->type == SETTING_SET);
    if (s->type == SETTING_WORDS)
        return set_words(s, at, words, count, wrong);
    return set_set(s, at, words, count, wrong);
}

/* Sets a list from one line of text. */
static int set_line(const struct setting *s, void *base, const char *text)
{
    struct config_words words = {0};
    struct span rest = span_str(text), item;
    uint32_t wrong;
    int rc = 0;

    while (rc == 0 && span_next_word(&rest, ',', &item))
        rc = config_words_add(&words, span_trim(item));
    if (rc == 0)
        rc = setting_value_set_words(s, base, words.at, words.count, &wrong);
    config_words_free(&words);
    return rc;
}

int setting_value_set(const struct setting *s, void *base, const char *text)
{
    void *at = (char *)base + s->offset;

    switch (s->type) {
    case SETTING_TEXT:
        return set_text(s, at, text);
    case SETTING_NUMBER:
        return set_number(s, at, text);
    case SETTING_BYTES:
        return set_bytes(s, at, text);
    case SETTING_FLAG:
        return set_flag(at, text);
    case SETTING_CHOICE:
        return set_choice(s, at, text);
    case SETTING_SET:
    case SETTING_WORDS:
        return set_line(s, base, text);
    case SETTING_SERVICES:
        return set_services(base, text);
    case SETTING_GROUP:
        break;
    }
    return -EINVAL;
}

void setting_value_clear(const struct setting *s, void *base)
{
    char **at = (char **)((char *)base + s->offset);

    must(s->type == SETTING_TEXT);
    free(*at);
    *at = alloc_str("");
}

void setting_value_free(const struct setting *s, void *base)
{
    void *at = (char *)base + s->offset;

    if (s->type == SETTING_TEXT) {
        free(*(char **)at);
        *(char **)at = NULL;
    } else if (s->type == SETTING_WORDS) {
        config_words_free(at);
    } else if (s->type == SETTING_SERVICES) {
        config_services_free(base);
    }
}

/* -- back to YAML -- */

/* Whether YAML cannot misread the text without quotes. Other texts are printed in double quotes. */
static bool plain(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off"};
    bool path = setting_word_ok(span_str(text), "_./@+-", SIZE_MAX);

    for (size_t i = 0; i < array_len(words); i++)
        if (span_eq_nocase(span_str(text), span_str(words[i])))
            return false;
    if (!setting_word_ok(span_of(text, 1), "", 1))
        return *text == '/' && path;
    if (text[strspn(text, "0123456789.-+eE_x")] == '\0' || strpbrk(text, "{}[],#\"\\ ") ||
        text[strlen(text) - 1] == ':')
        return false;
    return path || setting_form_ok(SETTING_FORM_API, text) ||
           setting_form_ok(SETTING_FORM_LISTEN, text) || setting_form_ok(SETTING_FORM_REDIS, text);
}

static void print_text(struct buf *out, const char *text)
{
    if (plain(text)) {
        buf_printf(out, "%s", text);
        return;
    }
    buf_putc(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\' || *c == '\n')
            buf_putc(out, '\\');
        buf_putc(out, *c == '\n' ? 'n' : *c);
    }
    buf_putc(out, '"');
}

/* Where the password before the last @ begins. NULL: there is none. A user of NATS without a
 * password is a token. */
static const char *secret_in(const char *text)
{
    const char *scheme = strstr(text, "://"), *at = strrchr(text, '@'), *colon;

    if (!scheme || !at || at < scheme)
        return NULL;
    colon = memchr(scheme + 3, ':', (size_t)(at - scheme - 3));
    if (colon)
        return colon + 1;
    return strncmp(text, "nats:", 5) == 0 || strncmp(text, "tls:", 4) == 0 ? scheme + 3 : NULL;
}

/* Prints redis://user:password@host/0 without the password, and postgresql://host/db?password=...,
 * too. */
static void print_secret(struct buf *out, const char *text)
{
    static const char parameter[] = "password=";
    const char *secret = secret_in(text), *found;
    char *masked = secret
                       ? alloc_printf("%.*s***%s", (int)(secret - text), text, strrchr(text, '@'))
                       : alloc_str(text);

    for (size_t at = 0; (found = strstr(masked + at, parameter));) {
        const char *value = found + strlen(parameter), *end = value + strcspn(value, "&");
        char *next = alloc_printf("%.*s***%s", (int)(value - masked), masked, end);

        at = (size_t)(value - masked);
        free(masked);
        masked = next;
    }
    print_text(out, masked);
    free(masked);
}

static void print_services(struct buf *out, const struct config_account *a)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < a->services_count; i++) {
        buf_printf(out, "%s{id: ", i ? ", " : "");
        print_text(out, a->services[i].id);
        if (*a->services[i].name) {
            buf_printf(out, ", name: ");
            print_text(out, a->services[i].name);
        }
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void print_words(struct buf *out, const struct config_words *w)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < w->count; i++) {
        buf_printf(out, "%s", i ? ", " : "");
        print_text(out, w->at[i]);
    }
    buf_putc(out, ']');
}

static void print_set(const struct setting *s, uint32_t set, struct buf *out)
{
    const char *before = "[";

    for (size_t i = 0; i < s->choices_count; i++) {
        if (!(set & UINT32_C(1) << i))
            continue;
        buf_printf(out, "%s%s", before, s->choices[i]);
        before = ", ";
    }
    buf_putc(out, ']');
}

static void print_number(const struct setting *s, const void *at, struct buf *out)
{
    uint64_t v = s->size == sizeof(uint32_t) ? *(const uint32_t *)at : *(const uint64_t *)at;

    if (s->word && v == UINT32_MAX)
        buf_printf(out, "%s", s->word);
    else
        buf_printf(out, "%llu", (unsigned long long)v);
}

void setting_value_print_bytes(uint64_t bytes, struct buf *out)
{
    size_t unit = 0;

    for (; bytes && bytes % 1024 == 0 && unit + 1 < array_len(byte_units); bytes /= 1024)
        unit++;
    buf_printf(out, "%llu%s", (unsigned long long)bytes, byte_units[unit]);
}

void setting_value_print(const struct setting *s, const void *base, struct buf *out)
{
    const void *at = (const char *)base + s->offset;
    unsigned choice;

    switch (s->type) {
    case SETTING_TEXT:
        (s->secret ? print_secret : print_text)(out, *(char *const *)at);
        break;
    case SETTING_NUMBER:
        print_number(s, at, out);
        break;
    case SETTING_BYTES:
        setting_value_print_bytes(*(const uint64_t *)at, out);
        break;
    case SETTING_FLAG:
        buf_printf(out, "%s", *(const bool *)at ? "true" : "false");
        break;
    case SETTING_CHOICE:
        memcpy(&choice, at, sizeof(choice));
        buf_printf(out, "%s", s->choices[choice]);
        break;
    case SETTING_SET:
        print_set(s, *(const uint32_t *)at, out);
        break;
    case SETTING_WORDS:
        print_words(out, at);
        break;
    case SETTING_SERVICES:
        print_services(out, base);
        break;
    case SETTING_GROUP:
        break;
    }
}
