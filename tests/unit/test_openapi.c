/* SPDX-License-Identifier: MIT
 * Compares deploy/openapi.yaml with the table of routes: both must contain the same routes. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "route.h"

#define OPERATIONS_MAX 128

static yaml_document_t doc;

/* -- the document ---------------------------------------------------------------------------- */

static int read_document(void **state)
{
    char path[512];
    yaml_parser_t parser;
    FILE *f;

    (void)state;
    snprintf(path, sizeof(path), "%s/deploy/openapi.yaml", getenv("SOURCE_DIR"));
    f = fopen(path, "r");
    must(f && yaml_parser_initialize(&parser));
    yaml_parser_set_input_file(&parser, f);
    if (!yaml_parser_load(&parser, &doc)) {
        print_error("%s:%zu: %s\n", path, parser.problem_mark.line + 1, parser.problem);
        return -1;
    }
    yaml_parser_delete(&parser);
    fclose(f);
    return 0;
}

static int drop_document(void **state)
{
    (void)state;
    yaml_document_delete(&doc);
    return 0;
}

static const char *text_of(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static yaml_node_t *member_n(const yaml_node_t *n, const char *name, size_t name_bytes)
{
    if (!n || n->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const char *key = text_of(yaml_document_get_node(&doc, p->key));

        if (key && strlen(key) == name_bytes && memcmp(key, name, name_bytes) == 0)
            return yaml_document_get_node(&doc, p->value);
    }
    return NULL;
}

static yaml_node_t *member(const yaml_node_t *n, const char *name)
{
    return member_n(n, name, strlen(name));
}

static yaml_node_t *root(void)
{
    return yaml_document_get_root_node(&doc);
}

static size_t length(const yaml_node_t *n)
{
    return n && n->type == YAML_SEQUENCE_NODE
               ? (size_t)(n->data.sequence.items.top - n->data.sequence.items.start)
               : 0;
}

static yaml_node_t *item(const yaml_node_t *n, size_t i)
{
    return yaml_document_get_node(&doc, n->data.sequence.items.start[i]);
}

/* Resolves a reference like "#/components/schemas/Job". NULL if it leads nowhere. */
static yaml_node_t *resolve(const char *ref)
{
    yaml_node_t *n = root();

    if (*ref++ != '#')
        return NULL;
    while (n && *ref == '/') {
        size_t bytes = strcspn(++ref, "/");

        n = member_n(n, ref, bytes);
        ref += bytes;
    }
    return n;
}

static yaml_node_t *followed(yaml_node_t *n)
{
    const char *ref = text_of(member(n, "$ref"));

    return ref ? resolve(ref) : n;
}

/* -- the routes ------------------------------------------------------------------------------ */

/* The path in OpenAPI's syntax, which has neither wildcards nor the method PURGE. */
static void path_of(const struct route *r, char *out, size_t room)
{
    size_t n = 0;

    for (const char *p = r->path; *p && n + 1 < room; p++)
        if (strncmp(p, "...}", 4) == 0)
            p += 2;
        else
            out[n++] = *p;
    out[n] = '\0';
}

static void method_of(const struct route *r, char *out, size_t room)
{
    bool extra = strcmp(r->method, "PURGE") == 0;
    size_t n = (size_t)snprintf(out, room, "%s%s", extra ? "x-" : "", r->method);

    for (size_t i = 0; i < n; i++)
        out[i] = (char)(out[i] >= 'A' && out[i] <= 'Z' ? out[i] - 'A' + 'a' : out[i]);
}

static yaml_node_t *path_item(const struct route *r)
{
    char path[128];

    path_of(r, path, sizeof(path));
    return member(member(root(), "paths"), path);
}

static yaml_node_t *operation(const struct route *r)
{
    char method[16];

    method_of(r, method, sizeof(method));
    return member(path_item(r), method);
}

/* -- tests ----------------------------------------------------------------------------------- */

static void it_is_openapi_3_1_of_this_version(void **state)
{
    (void)state;
    assert_memory_equal(text_of(member(root(), "openapi")), "3.1.", 4);
    assert_string_equal(text_of(member(member(root(), "info"), "version")), PURGELINE_VERSION);
}

static void every_route_is_described_in_the_words_of_the_table(void **state)
{
    size_t count = http_routes.count, wrong = 0;
    const struct route *table = http_routes.routes;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        const char *summary = text_of(member(operation(&table[i]), "summary"));

        if (summary && strcmp(summary, table[i].sentence) == 0)
            continue;
        print_error("%s %s: %s\n", table[i].method, table[i].path,
                    summary ? "its summary is another sentence" : "is not described");
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static bool is_served(const char *path, const char *method)
{
    size_t count = http_routes.count;
    const struct route *table = http_routes.routes;

    for (size_t i = 0; i < count; i++) {
        char served_path[128], served_method[16];

        path_of(&table[i], served_path, sizeof(served_path));
        method_of(&table[i], served_method, sizeof(served_method));
        if (strcmp(path, served_path) == 0 && strcmp(method, served_method) == 0)
            return true;
    }
    return false;
}

static void nothing_else_is_described(void **state)
{
    const yaml_node_t *paths = member(root(), "paths");
    size_t operations = 0;

    (void)state;
    for (yaml_node_pair_t *p = paths->data.mapping.pairs.start; p < paths->data.mapping.pairs.top;
         p++) {
        const char *path = text_of(yaml_document_get_node(&doc, p->key));
        const yaml_node_t *in = yaml_document_get_node(&doc, p->value);

        for (yaml_node_pair_t *q = in->data.mapping.pairs.start; q < in->data.mapping.pairs.top;
             q++) {
            const char *method = text_of(yaml_document_get_node(&doc, q->key));

            if (strcmp(method, "parameters") == 0)
                continue;
            if (!is_served(path, method))
                fail_msg("%s %s is described and not served", method, path);
            operations++;
        }
    }
    assert_true(operations > 10);
}

/* Client generators use the operation's name for a function. */
static void every_operation_has_a_name_of_its_own_and_answers(void **state)
{
    const char *names[OPERATIONS_MAX];
    size_t count = http_routes.count;
    const struct route *table = http_routes.routes;

    (void)state;
    assert_true(count <= OPERATIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *responses = member(operation(&table[i]), "responses");

        names[i] = text_of(member(operation(&table[i]), "operationId"));
        assert_non_null(names[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
        assert_true(member(responses, "200") || member(responses, "202") ||
                    member(responses, "308"));
        assert_int_equal(member(responses, "401") != NULL, table[i].access != ROUTE_OPEN);
    }
}

static void routes_without_a_token_are_described_as_such(void **state)
{
    size_t count = http_routes.count;
    const struct route *table = http_routes.routes;

    (void)state;
    assert_true(length(member(root(), "security")) > 0);
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *security = member(operation(&table[i]), "security");
        bool none = security && length(security) == 0;

        assert_int_equal(none, table[i].access == ROUTE_OPEN || table[i].access == ROUTE_SIGNED);
    }
}

static bool declares(const yaml_node_t *parameters, const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < length(parameters); i++) {
        const yaml_node_t *p = followed(item(parameters, i));
        const char *is = text_of(member(p, "name")), *in = text_of(member(p, "in"));
        const char *required = text_of(member(p, "required"));

        if (is && in && strlen(is) == name_bytes && memcmp(is, name, name_bytes) == 0 &&
            strcmp(in, "path") == 0)
            return required && strcmp(required, "true") == 0;
    }
    return false;
}

static void every_part_of_a_path_is_a_parameter(void **state)
{
    size_t count = http_routes.count, parts = 0;
    const struct route *table = http_routes.routes;
    char path[128];

    (void)state;
    for (size_t i = 0; i < count; i++) {
        path_of(&table[i], path, sizeof(path));
        for (const char *p = path; (p = strchr(p, '{')); p++) {
            if (!declares(member(path_item(&table[i]), "parameters"), p + 1, strcspn(p + 1, "}")))
                fail_msg("%s: a part of it is no required parameter", path);
            parts++;
        }
    }
    assert_true(parts > 5);
}

/* Of the operation and of its path, together. */
static size_t count_query_parameters(const yaml_node_t *of, const char *known)
{
    const yaml_node_t *parameters = member(of, "parameters");
    size_t count = 0;

    for (size_t i = 0; i < length(parameters); i++) {
        const yaml_node_t *p = followed(item(parameters, i));
        const char *name = text_of(member(p, "name")), *found;

        if (strcmp(text_of(member(p, "in")), "query") != 0)
            continue;
        found = known ? strstr(known, name) : NULL;
        while (found && found[strlen(name)] && found[strlen(name)] != ' ')
            found = strstr(found + 1, name);
        if (!found)
            fail_msg("the query parameter %s is described and not taken", name);
        count++;
    }
    return count;
}

static size_t count_words(const char *words)
{
    struct span rest = span_str(words ? words : ""), word;
    size_t count = 0;

    while (span_next_word(&rest, ' ', &word))
        count++;
    return count;
}

static void every_query_parameter_is_described(void **state)
{
    const struct route *table = http_routes.routes;

    (void)state;
    for (size_t i = 0; i < http_routes.count; i++) {
        size_t described = count_query_parameters(path_item(&table[i]), table[i].query) +
                           count_query_parameters(operation(&table[i]), table[i].query);

        if (described != count_words(table[i].query))
            fail_msg("%s %s: %zu query parameters are described, and it takes %s", table[i].method,
                     table[i].path, described, table[i].query);
    }
}

static void every_reference_leads_somewhere(void **state)
{
    size_t refs = 0;

    (void)state;
    for (int i = 1; yaml_document_get_node(&doc, i); i++) {
        const char *ref = text_of(member(yaml_document_get_node(&doc, i), "$ref"));

        if (!ref)
            continue;
        if (!resolve(ref))
            fail_msg("%s leads nowhere", ref);
        refs++;
    }
    assert_true(refs > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_openapi_3_1_of_this_version),
        cmocka_unit_test(every_route_is_described_in_the_words_of_the_table),
        cmocka_unit_test(nothing_else_is_described),
        cmocka_unit_test(every_operation_has_a_name_of_its_own_and_answers),
        cmocka_unit_test(routes_without_a_token_are_described_as_such),
        cmocka_unit_test(every_part_of_a_path_is_a_parameter),
        cmocka_unit_test(every_query_parameter_is_described),
        cmocka_unit_test(every_reference_leads_somewhere),
    };

    return cmocka_run_group_tests(tests, read_document, drop_document);
}
