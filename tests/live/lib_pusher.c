/* SPDX-License-Identifier: MIT
 * A program of a user of the shared library: pushes each key that it reads, and prints the id of
 * the job or what went wrong. "/N key" pushes N jobs at once and prints how many were accepted. */
#include <purgeline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counts {
    int ok, other;
};

static void on_answer(void *ctx, void *tag, int code, const char *text)
{
    struct counts *c = ctx;

    (void)tag;
    if (code == PURGELINE_OK)
        c->ok++;
    else if (c->other++ == 0)
        printf("%s: %s\n", purgeline_code_name(code), text);
}

static void push_one(struct purgeline *p, const char *key)
{
    struct purgeline_job job = PURGELINE_JOB;
    char id[PURGELINE_ID_ROOM];
    int code;

    job.keys = &key;
    job.keys_count = 1;
    code = purgeline_push(p, &job, id, sizeof(id));
    printf("%s\n", code == PURGELINE_OK ? id : purgeline_error(p));
}

static void push_many(struct purgeline *p, int count, const char *key)
{
    struct purgeline_job job = PURGELINE_JOB;
    struct counts c = {0, 0};

    job.keys = &key;
    job.keys_count = 1;
    purgeline_on_answer(p, on_answer, &c);
    for (int i = 0; i < count; i++)
        if (purgeline_send(p, &job, NULL) != PURGELINE_OK)
            printf("%s\n", purgeline_error(p));
    if (purgeline_wait(p) != PURGELINE_OK)
        printf("%s\n", purgeline_error(p));
    printf("%d accepted\n", c.ok);
}

int main(int argc, char **argv)
{
    char why[PURGELINE_WHY_ROOM], line[300];
    struct purgeline *p;
    char *key;

    if (argc != 3)
        return 2;
    if (purgeline_open(argv[1], argv[2], &p, why, sizeof(why)) != PURGELINE_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        key = strchr(line, ' ');
        if (*line == '/' && key)
            push_many(p, atoi(line + 1), key + 1);
        else
            push_one(p, line);
    }
    purgeline_close(p);
    return 0;
}
