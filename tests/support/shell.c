/* SPDX-License-Identifier: MIT */
#include "shell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "alloc.h"
#include "buf.h"

#define OUTPUT_MAX (64 * 1024 * 1024)

void shell_open(struct shell *s)
{
    const char *bin = getenv("PURGELINE_BIN");

    must(bin); /* set by ctest */
    *s = (struct shell){.folder = "/tmp/purgeline-shell-XXXXXX"};
    must(mkdtemp(s->folder));
    setenv("P", bin, 1);
    setenv("D", s->folder, 1);
}

void shell_close(struct shell *s)
{
    char *line = alloc_printf("rm -rf '%s'", s->folder);

    must(system(line) == 0);
    free(line);
    free(s->out);
    free(s->err);
}

static char *read_all(FILE *f)
{
    char chunk[4096];
    struct buf text;
    size_t n;

    buf_init(&text, OUTPUT_MAX);
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_put(&text, span_of(chunk, n));
    return buf_take(&text);
}

int shell_run(struct shell *s, const char *fmt, ...)
{
    char *line, *all, *path = alloc_printf("%s/stderr", s->folder);
    va_list ap;
    FILE *f;
    int status;

    va_start(ap, fmt);
    must(vasprintf(&line, fmt, ap) >= 0);
    va_end(ap);
    all = alloc_printf("{ %s\n} 2>%s", line, path);
    free(s->out);
    free(s->err);
    f = popen(all, "r");
    must(f);
    s->out = read_all(f);
    status = pclose(f);
    f = fopen(path, "r");
    must(f);
    s->err = read_all(f);
    fclose(f);
    s->code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    free(line);
    free(all);
    free(path);
    return s->code;
}

void shell_join_lines(struct shell *s)
{
    char *to = s->out;

    for (const char *from = s->out; *from; from++) {
        bool blank = *from == ' ' || *from == '\n';

        if (!blank || (to > s->out && to[-1] != ' '))
            *to++ = blank ? ' ' : *from;
    }
    *to = '\0';
}

static void assert_in(const char *where, const char *text, const struct shell *s)
{
    if (!strstr(where, text))
        fail_msg("\"%s\" is missing.\n-- stdout --\n%s-- stderr --\n%s-- exit code %d --", text,
                 s->out, s->err, s->code);
}

void shell_assert_out(const struct shell *s, const char *text)
{
    assert_in(s->out, text, s);
}

void shell_assert_err(const struct shell *s, const char *text)
{
    assert_in(s->err, text, s);
}
