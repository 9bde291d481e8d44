/* SPDX-License-Identifier: MIT
 * Checks what deploy/purgeline.service promises to operators. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "file.h"

static char *unit_text(void)
{
    char path[512];
    struct buf text;

    snprintf(path, sizeof(path), "%s/deploy/purgeline.service", getenv("SOURCE_DIR"));
    buf_init(&text, 64 * 1024);
    assert_int_equal(file_read(path, &text), 0);
    return buf_take(&text);
}

static size_t at_line(const char *text, const char *line)
{
    char framed[256];
    const char *at;

    snprintf(framed, sizeof(framed), "\n%s\n", line);
    at = strstr(text, framed);
    if (!at)
        fail_msg("no line '%s'", line);
    return (size_t)(at - text);
}

/* LoadCredential= copies the token when the service starts, so a reload would not get a new one. */
static void a_reload_is_enough_for_a_new_token(void **state)
{
    char *text = unit_text();

    (void)state;
    assert_null(strstr(text, "\nLoadCredential"));
    assert_null(strstr(text, "\nDynamicUser"));
    at_line(text, "Environment=PURGELINE_TOKEN_FILE=/etc/purgeline/token");
    free(text);
}

static void a_broken_file_makes_the_reload_fail(void **state)
{
    char *text = unit_text();

    (void)state;
    assert_true(at_line(text, "ExecReload=/usr/local/bin/purgeline check --offline") <
                at_line(text, "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'"));
    free(text);
}

static void it_is_started_again_however_often_it_ends(void **state)
{
    char *text = unit_text();

    (void)state;
    assert_true(at_line(text, "StartLimitIntervalSec=0") < at_line(text, "[Service]"));
    at_line(text, "RestartPreventExitStatus=2");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reload_is_enough_for_a_new_token),
        cmocka_unit_test(a_broken_file_makes_the_reload_fail),
        cmocka_unit_test(it_is_started_again_however_often_it_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
