/* SPDX-License-Identifier: MIT
 * Configurations for tests. They are read from a text in a folder of the test's own, in an
 * environment without settings. */
#pragma once

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_file.h"
#include "config_yaml.h"
#include "setting.h"

/* The required fields of a producer and of a hook. The caller adds the closing brace. */
#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define PRODUCER "{name: cms, token_sha256: " A64
#define SECRET "secret_env: HOOK_SECRET, signature: {header: x-signature}"
#define HOOK "{name: h, urls: [u], " SECRET

static struct error error;

static inline void write_file(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Loads `text` as a file called "purgeline.yaml". */
static inline int load(const char *text, struct config *out)
{
    int rc;

    write_file("purgeline.yaml", text, strlen(text));
    rc = config_load("purgeline.yaml", NULL, out, &error);
    unlink("purgeline.yaml");
    return rc;
}

static inline void must_load(const char *text, struct config *out)
{
    if (load(text, out) < 0)
        fail_msg("%s: %s", text, error.text);
}

static inline void assert_loads(const char *text)
{
    struct config c;

    must_load(text, &c);
    config_deinit(&c);
}

static inline void assert_refused(const char *text, const char *sentence)
{
    struct config c = {.senders = 77};

    if (load(text, &c) == 0)
        fail_msg("%s was taken", text);
    assert_string_equal(error.text, sentence);
    assert_int_equal(c.senders, 77); /* untouched */
}

static inline int clean_environment(void **state)
{
    size_t count;
    const struct setting *table = setting_table(&count);
    char name[128];

    (void)state;
    for (size_t i = 0; i < count; i++)
        if (setting_env_name(&table[i], name, sizeof(name)))
            unsetenv(name);
    unsetenv("FASTLY_SERVICE_ID");
    unsetenv("FASTLY_API_TOKEN");
    unsetenv("HOOK_SECRET");
    setenv("PURGELINE_DATA_DIR", "/tmp/data", 1);
    return 0;
}

static inline int enter_folder(void **state)
{
    static char folder[64];

    snprintf(folder, sizeof(folder), "%s", "/tmp/purgeline-config-XXXXXX");
    *state = mkdtemp(folder);
    return *state && chdir(folder) == 0 ? 0 : -1;
}

static inline int leave_folder(void **state)
{
    return chdir("/") == 0 && rmdir(*state) == 0 ? 0 : -1;
}

#define T(f) cmocka_unit_test_setup(f, clean_environment)
