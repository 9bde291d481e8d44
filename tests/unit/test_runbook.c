/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

struct page {
    char *rules, *runbook;
};

static char *read_text(const char *name)
{
    const char *root = getenv("SOURCE_DIR");
    char *path = alloc_printf("%s/%s", root ? root : ".", name), *text;
    long size;
    FILE *f = fopen(path, "r");

    if (!f)
        fail_msg("%s cannot be read", path);
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    text = alloc_zeroed((size_t)size + 1, 1);
    assert_int_equal(fread(text, 1, (size_t)size, f), size);
    fclose(f);
    free(path);
    return text;
}

static int setup(void **state)
{
    static struct page p;

    p.rules = read_text("deploy/prometheus/purgeline.rules.yml");
    p.runbook = read_text("deploy/runbook.md");
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct page *p = *state;

    free(p->rules);
    free(p->runbook);
    return 0;
}

/* The part of `text` from after each `begin` until the next one, one after the other. */
static char *next_part(const char **text, const char *begin, char *name, size_t room)
{
    const char *at = strstr(*text, begin), *end;
    char *part;

    if (!at)
        return NULL;
    at += strlen(begin);
    snprintf(name, room, "%.*s", (int)strcspn(at, "\n"), at);
    end = strstr(at, begin);
    part = alloc_copy(at, end ? (size_t)(end - at) : strlen(at));
    *text = at;
    return part;
}

static void assert_has(const char *name, const char *part, const char *wanted)
{
    if (!strstr(part, wanted))
        fail_msg("%s: \"%s\" is missing in: %s", name, wanted, part);
}

static char *section_of(const struct page *p, const char *alert)
{
    const char *text = p->runbook;
    char name[200], *part;

    while ((part = next_part(&text, "\n## ", name, sizeof(name)))) {
        if (strcmp(name, alert) == 0)
            return part;
        free(part);
    }
    fail_msg("deploy/runbook.md has no section %s", alert);
    return NULL;
}

static void every_alert_has_a_section_that_says_what_to_look_at_and_what_to_do(void **state)
{
    struct page *p = *state;
    const char *text = p->rules;
    char alert[200], *rule;
    size_t count = 0;

    for (; (rule = next_part(&text, "- alert: ", alert, sizeof(alert))); count++) {
        char *section = section_of(p, alert);

        assert_has(alert, section, strstr(rule, "severity: page") ? "\n*page.* " : "\n*ticket.* ");
        assert_has(alert, section, "\n* **Look**: ");
        assert_has(alert, section, "\n* **Do**: ");
        assert_has(alert, section, "\n* **Over when** ");
        free(section);
        free(rule);
    }
    assert_true(count >= 20);
}

static void every_section_is_that_of_an_alert(void **state)
{
    struct page *p = *state;
    const char *text = p->runbook;
    char name[200], *part;

    while ((part = next_part(&text, "\n## ", name, sizeof(name)))) {
        char *rule = alloc_printf("- alert: %s\n", name);

        assert_has(name, p->rules, rule);
        free(rule);
        free(part);
    }
}

/* The anchor of a heading is its text in lower case, as GitHub and GitLab make it. */
static void every_alert_links_to_its_section(void **state)
{
    struct page *p = *state;
    const char *text = p->rules;
    char alert[200], *rule;

    while ((rule = next_part(&text, "- alert: ", alert, sizeof(alert)))) {
        char *url = alloc_printf("\n          runbook_url: runbook.md#%s\n", alert);

        for (char *c = strchr(url, '#'); *c; c++)
            *c = (char)tolower((unsigned char)*c);
        assert_has(alert, rule, url);
        free(url);
        free(rule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_alert_has_a_section_that_says_what_to_look_at_and_what_to_do),
        cmocka_unit_test(every_section_is_that_of_an_alert),
        cmocka_unit_test(every_alert_links_to_its_section),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
