/* SPDX-License-Identifier: MIT
 * A program of a user of the library. It is built with the installed files only, as C in an old
 * version and as C++. */
#include <purgeline.h>
#include <stdio.h>
#include <string.h>

/* Names that also exist inside the library. They must not conflict. */
int buf_put(void);
int buf_put(void)
{
    return 17;
}

static void on_answer(void *ctx, void *tag, int code, const char *text)
{
    (void)text;
    if (code == PURGELINE_OK)
        *(int *)ctx += *(int *)tag;
}

int main(int argc, char **argv)
{
    const char *keys[] = {"article-17", "home"};
    struct purgeline_job job = PURGELINE_JOB;
    char why[PURGELINE_WHY_ROOM], id[PURGELINE_ID_ROOM];
    struct purgeline *p;
    int answers = 0, one = 1, code, i;

    if (argc != 2 || purgeline_open(argv[1], "main", &p, why, sizeof(why)) != PURGELINE_OK)
        return 1;
    purgeline_on_answer(p, on_answer, &answers);
    job.keys = keys;
    job.keys_count = 2;
    job.service = "news";
    if (purgeline_push(p, &job, id, sizeof(id)) != PURGELINE_OK)
        return 2;
    for (i = 0; i < 1000; i++)
        if (purgeline_send(p, &job, &one) != PURGELINE_OK)
            return 3;
    code = purgeline_push_key(p, "home");
    if (code != PURGELINE_OK || purgeline_pending(p) > 0 || purgeline_under_way(p) > 0)
        return 5;
    if (purgeline_wait(p) != PURGELINE_OK || answers != 1000 || buf_put() != 17)
        return 4;
    purgeline_close(p);
    printf("%s %s\n", purgeline_version(), id);
    return 0;
}
