/* SPDX-License-Identifier: MIT */
#include "config_raw.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "config_line.h"
#include "suggest.h"

/* -- the schema: every value is read as text, and core/setting makes of it what it is -- */

#define TEXT_POINTER                                                                               \
    {                                                                                              \
        .type = CYAML_STRING, .flags = CYAML_FLAG_POINTER, .data_size = sizeof(char), .string = {  \
            .min = 0,                                                                              \
            .max = CYAML_UNLIMITED                                                                 \
        }                                                                                          \
    }

static const cyaml_schema_field_t service_fields[] = {
    CYAML_FIELD_STRING_PTR("id", CYAML_FLAG_POINTER, struct config_raw_service, id, 0,
                           CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct config_raw_service, name, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END};

static const cyaml_schema_value_t service_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_raw_service, service_fields)};
static const cyaml_schema_value_t text_value = TEXT_POINTER;

struct schema {
    cyaml_schema_field_t *parts[CONFIG_RAW_SETTINGS_MAX]; /* every array made, to free */
    size_t parts_count;
    cyaml_schema_value_t items[SETTING_SCOPE_N], root;
    bool listed[CONFIG_RAW_SETTINGS_MAX];
};

/* Whether the setting stands directly in the group ("" = top): "budget.purges" in "budget". */
static const char *name_in_group(const struct setting *s, const char *group)
{
    size_t n = strlen(group);
    const char *rest = s->name + (n ? n + 1 : 0);

    if (n && (strncmp(s->name, group, n) != 0 || s->name[n] != '.'))
        return NULL;
    return strchr(rest, '.') ? NULL : rest;
}

static const cyaml_schema_field_t *fields_of(struct schema *schema, enum setting_scope scope,
                                             const char *group);

static void sequence_field(cyaml_schema_field_t *f, const cyaml_schema_value_t *entry, size_t at,
                           size_t count_at, uint32_t max)
{
    f->data_offset = (uint32_t)at;
    f->count_offset = (uint32_t)count_at;
    f->count_size = sizeof(uint32_t);
    f->value.type = CYAML_SEQUENCE;
    f->value.flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL;
    f->value.data_size =
        entry->flags & CYAML_FLAG_POINTER ? (uint32_t)sizeof(void *) : entry->data_size;
    f->value.sequence.entry = entry;
    f->value.sequence.max = max;
}

static void field_of(struct schema *schema, const struct setting *s, size_t index,
                     cyaml_schema_field_t *f)
{
    size_t top = s->scope == SETTING_GLOBAL ? offsetof(struct config_raw, top) : 0;
    size_t at = top + index * sizeof(struct config_raw_value);
    size_t count_at = at + offsetof(struct config_raw_value, count);

    switch (s->type) {
    case SETTING_GROUP:
        /* Its members lie in the same struct: a mapping at offset 0 of its parent. */
        f->value.type = CYAML_MAPPING;
        f->value.flags = CYAML_FLAG_OPTIONAL;
        f->value.data_size = sizeof(struct config_raw_item);
        f->value.mapping.fields = fields_of(schema, s->scope, s->name);
        break;
    case SETTING_SERVICES:
        sequence_field(f, &service_value, at, count_at, CONFIG_SERVICES_MAX);
        break;
    case SETTING_WORDS:
        sequence_field(f, &text_value, at, count_at, CONFIG_WORDS_MAX);
        break;
    case SETTING_SET:
        sequence_field(f, &text_value, at, count_at, (uint32_t)s->choices_count);
        f->value.sequence.min = 1;
        break;
    default:
        if (schema->listed[index]) {
            sequence_field(f, &text_value, at, count_at, CONFIG_WORDS_MAX);
            break;
        }
        f->data_offset = (uint32_t)at;
        f->value = (cyaml_schema_value_t)TEXT_POINTER;
        f->value.flags = CYAML_FLAG_POINTER | (s->fallback ? CYAML_FLAG_OPTIONAL : 0);
        break;
    }
}

/* What a configuration has many of, behind the settings of its own. */
static void list_fields(struct schema *schema, cyaml_schema_field_t *f)
{
    for (enum setting_scope s = SETTING_ACCOUNT; s < SETTING_SCOPE_N; s++, f++) {
        size_t at = offsetof(struct config_raw, lists) + s * sizeof(struct config_raw_list);

        f->key = setting_list(s)->name;
        sequence_field(f, &schema->items[s], at + offsetof(struct config_raw_list, items),
                       at + offsetof(struct config_raw_list, count), setting_list(s)->max);
    }
}

static const cyaml_schema_field_t *fields_of(struct schema *schema, enum setting_scope scope,
                                             const char *group)
{
    size_t count, n = 0;
    const struct setting *table = setting_table(&count);
    cyaml_schema_field_t *fields; /* these, the lists, and one of zeros as the end */

    must(count <= CONFIG_RAW_SETTINGS_MAX && schema->parts_count < array_len(schema->parts));
    fields = alloc_zeroed(count + SETTING_SCOPE_N + 1, sizeof(*fields));
    schema->parts[schema->parts_count++] = fields;
    for (size_t i = 0; i < count; i++) {
        const char *key = table[i].scope == scope ? name_in_group(&table[i], group) : NULL;

        if (!key)
            continue;
        fields[n].key = key;
        field_of(schema, &table[i], i, &fields[n++]);
    }
    if (scope == SETTING_GLOBAL && !*group)
        list_fields(schema, &fields[n]);
    return fields;
}

/* Which texts the file gives as lists. */
static void find_lists(struct span yaml, bool listed[CONFIG_RAW_SETTINGS_MAX])
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++)
        if (table[i].may_be_list)
            listed[i] = config_line_is_list(yaml, table[i].name);
}

static void schema_init(struct schema *s, const bool listed[CONFIG_RAW_SETTINGS_MAX])
{
    *s = (struct schema){0};
    memcpy(s->listed, listed, sizeof(s->listed));
    for (enum setting_scope scope = SETTING_ACCOUNT; scope < SETTING_SCOPE_N; scope++) {
        s->items[scope].type = CYAML_MAPPING;
        s->items[scope].data_size = sizeof(struct config_raw_item);
        s->items[scope].mapping.fields = fields_of(s, scope, "");
    }
    s->root.type = CYAML_MAPPING;
    s->root.flags = CYAML_FLAG_POINTER;
    s->root.data_size = sizeof(struct config_raw);
    s->root.mapping.fields = fields_of(s, SETTING_GLOBAL, "");
}

static void schema_deinit(struct schema *s)
{
    for (size_t i = 0; i < s->parts_count; i++)
        free(s->parts[i]);
}

/* -- what libcyaml says when it refuses, in our words -- */

#define TRACE_MAX 16

struct refusal {
    char message[256];
    char trace[TRACE_MAX][64]; /* innermost first: "name" or "[0]" */
    unsigned trace_count;
};

static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct refusal *r = ctx;
    char line[256], name[48];
    unsigned entry;

    (void)level;
    vsnprintf(line, sizeof(line), fmt, args);
    line[strcspn(line, "\n")] = '\0';
    if (r->trace_count < TRACE_MAX && sscanf(line, " in mapping field '%47[^']'", name) == 1)
        snprintf(r->trace[r->trace_count++], 64, "%s", name);
    else if (r->trace_count < TRACE_MAX && sscanf(line, " in sequence entry '%u'", &entry) == 1)
        snprintf(r->trace[r->trace_count++], 64, "[%u]", entry ? entry - 1 : 0); /* counts from 1 */
    else if (strncmp(line, "Load: ", 6) == 0 && !strstr(line, "Backtrace") && !*r->message)
        snprintf(r->message, sizeof(r->message), "%s", line + strlen("Load: "));
}

/* "accounts[0].budget", without the innermost `skip` parts. */
static void trace_path(const struct refusal *r, unsigned skip, struct buf *path)
{
    for (unsigned i = r->trace_count; i-- > skip;)
        buf_printf(path, "%s%s", path->n && r->trace[i][0] != '[' ? "." : "", r->trace[i]);
}

/* The part of a path that the table knows: what follows "accounts[0]." */
static const char *table_name(const char *path, enum setting_scope *scope)
{
    const char *bracket = strchr(path, '['), *end;

    *scope = SETTING_GLOBAL;
    for (enum setting_scope s = SETTING_ACCOUNT; bracket && s < SETTING_SCOPE_N; s++)
        if (span_is(span_of(path, (size_t)(bracket - path)), setting_list(s)->name))
            *scope = s;
    end = *scope == SETTING_GLOBAL ? NULL : strchr(bracket, ']');
    return !end ? path : end[1] == '.' ? end + 2 : end + 1;
}

static const char *suggestion(const char *group_path, const char *key)
{
    const char *names[CONFIG_RAW_SETTINGS_MAX + SETTING_SCOPE_N];
    enum setting_scope scope;
    const char *group = table_name(group_path, &scope);
    size_t count, n = 0;
    const struct setting *table = setting_table(&count);

    for (enum setting_scope s = SETTING_ACCOUNT; !*group_path && s < SETTING_SCOPE_N; s++)
        names[n++] = setting_list(s)->name;
    for (size_t i = 0; i < count; i++) {
        const char *name = table[i].scope == scope ? name_in_group(&table[i], group) : NULL;

        if (name)
            names[n++] = name;
    }
    return suggest_word(key, names, n);
}

/* "an account", when that is what has such a setting. */
static const char *owner(const char *key)
{
    for (enum setting_scope s = SETTING_ACCOUNT; s < SETTING_SCOPE_N; s++)
        if (setting_find(s, key))
            return setting_list(s)->one;
    return NULL;
}

static void explain_unknown(struct buf *path, const char *key, struct buf *why)
{
    const char *meant = suggestion(path->p ? path->p : "", key);

    buf_printf(why, "no such setting");
    if (!path->n && owner(key))
        buf_printf(why, " here; it is one of %s", owner(key));
    else if (meant)
        buf_printf(why, "; did you mean %s?", meant);
    buf_printf(path, "%s%s", path->n ? "." : "", key);
}

static const char *event_words(const char *event)
{
    if (strncmp(event, "SEQUENCE", 8) == 0)
        return "a list";
    if (strncmp(event, "MAPPING", 7) == 0)
        return "settings below it";
    return strcmp(event, "NONE") == 0 ? "nothing" : "a single value";
}

/* "accounts[0].services" and "accounts[0].services[3]": people write the bare id there. */
static bool explain_service(struct span yaml, const char *path, struct buf *why)
{
    const char *at = strstr(path, "].services");
    char value[80];

    if (!at || !config_line_value(yaml, path, value, sizeof(value)))
        return false;
    if (at[10] == '[')
        buf_printf(why, "expected {id: SU1Z0isxPaozGVKXdv0eY, name: news}, found '%s'", value);
    else
        buf_printf(why, "expected [{id: SU1Z0isxPaozGVKXdv0eY, name: news}], found '%s'", value);
    return true;
}

static void explain_shape(const char *path, const char *wanted, const char *found, struct buf *why)
{
    enum setting_scope scope;
    const char *name = table_name(path, &scope);
    const struct setting *s = setting_find(scope, name);

    buf_printf(why, "expected ");
    if (s)
        setting_expects(s, why);
    else
        buf_printf(why, "%s", strcmp(wanted, "STRING") == 0 ? "text" : event_words(wanted));
    buf_printf(why, ", found %s", event_words(found));
}

/* The sentence for libcyaml's message; `path` becomes the path of the setting it is about. */
static void explain(const struct refusal *r, struct span yaml, struct buf *path, struct buf *why)
{
    char a[64], b[64];
    unsigned n;

    if (sscanf(r->message, "Excessive entries (%u max)", &n) == 1) {
        trace_path(r, 1, path);
        buf_printf(why, "expected at most %u entries", n);
        return;
    }
    if (sscanf(r->message, "Missing required mapping field: %63[^\n]", a) == 1) {
        /* The innermost part is then the last field that was there. */
        trace_path(r, r->trace_count && r->trace[0][0] != '[' ? 1 : 0, path);
        buf_printf(path, "%s%s", path->n ? "." : "", a);
        buf_printf(why, "missing");
        return;
    }
    if (strncmp(r->message, "Insufficient entries", 20) == 0) {
        trace_path(r, 1, path);
        explain_shape(path->p, "SEQUENCE", "NONE", why);
        return;
    }
    trace_path(r, 0, path);
    if (sscanf(r->message, "Unexpected key: %63[^\n]", a) == 1) {
        explain_unknown(path, a, why);
    } else if (sscanf(r->message, "Expecting %63[A-Z], got event: %63[A-Z_]", a, b) == 2) {
        if (!path->n || !explain_service(yaml, path->p, why))
            explain_shape(path->p ? path->p : "", a, b, why);
    } else if (strncmp(r->message, "Mapping field already seen", 26) == 0) {
        buf_printf(why, "stands there twice");
    } else {
        buf_printf(why, "%s", *r->message ? r->message : "cannot be understood");
    }
}

static void refuse(const struct refusal *r, struct span yaml, unsigned *line, char *err,
                   size_t err_room)
{
    struct buf path, why;
    bool exact;

    buf_init(&path, 4096);
    buf_init(&why, 4096);
    explain(r, yaml, &path, &why);
    *line = path.n ? config_line_find(yaml, path.p, &exact) : 1;
    snprintf(err, err_room, "%s%s%s", path.n ? path.p : "", path.n ? ": " : "", why.p);
    buf_deinit(&path);
    buf_deinit(&why);
}

/* -- reading -- */

static const cyaml_config_t *cyaml_settings(struct refusal *r, cyaml_config_t *out)
{
    *out = (cyaml_config_t){
        .log_fn = on_log, .log_ctx = r, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
    return out;
}

int config_raw_parse(struct span yaml, struct config_raw **out, unsigned *line, char *err,
                     size_t err_room)
{
    struct refusal refusal = {0};
    bool listed[CONFIG_RAW_SETTINGS_MAX] = {false};
    struct schema schema;
    cyaml_config_t config;
    struct config_raw *raw;
    void *data = NULL;
    cyaml_err_t rc;
    char problem[128];

    *line = config_line_problem(yaml, problem, sizeof(problem));
    if (*line) {
        snprintf(err, err_room, "%s%s",
                 strncmp(problem, "a second", 8) == 0 ? "" : "not YAML: ", problem);
        return -EINVAL;
    }
    find_lists(yaml, listed);
    schema_init(&schema, listed);
    rc = cyaml_load_data((const uint8_t *)yaml.p, yaml.n, cyaml_settings(&refusal, &config),
                         &schema.root, &data, NULL);
    schema_deinit(&schema);
    if (rc != CYAML_OK) {
        refuse(&refusal, yaml, line, err, err_room);
        return -EINVAL;
    }
    raw = data;
    if (raw)
        memcpy(raw->listed, listed, sizeof(listed));
    *out = raw;
    return 0;
}

void config_raw_free(struct config_raw *r)
{
    struct refusal refusal = {0};
    struct schema schema;
    cyaml_config_t config;

    if (!r)
        return;
    schema_init(&schema, r->listed);
    cyaml_free(cyaml_settings(&refusal, &config), &schema.root, r, 0);
    schema_deinit(&schema);
}
