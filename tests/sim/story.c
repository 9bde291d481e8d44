/* SPDX-License-Identifier: MIT */
#include "story.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fakeredis.h"

void story_init(struct story *s, const char *file)
{
    *s = (struct story){.file = alloc_str(file), .seed = 1};
    words_init(&s->settings);
}

void story_deinit(struct story *s)
{
    for (size_t i = 0; i < s->count; i++) {
        words_deinit(&s->steps[i].words);
        free(s->steps[i].text);
    }
    free(s->steps);
    words_deinit(&s->settings);
    free(s->file);
}

static int take_settings(struct story *s, const struct words *w, char *err, size_t room)
{
    if (s->count) {
        snprintf(err, room, "config comes before the first event");
        return -EINVAL;
    }
    for (size_t i = 1; i < w->count; i++) {
        const char *seed = text_value(w->at[i], "seed");
        const char *cluster = text_value(w->at[i], "cluster");
        uint64_t nodes = 0;

        if (cluster && (text_number(cluster, &nodes) < 0 || nodes > FAKEREDIS_NODES_MAX)) {
            snprintf(err, room, "no Cluster has \"%s\" nodes", cluster);
            return -EINVAL;
        }
        if (strcmp(w->at[i], "kills=no") == 0) {
            s->without_kills = true;
            continue;
        }
        if (seed && text_number(seed, &s->seed) < 0)
            return -EINVAL;
        if (!seed)
            words_add(&s->settings, w->at[i], strlen(w->at[i]));
    }
    return 0;
}

static int take_time(struct story *s, const char *word, uint64_t *at_ns, char *err, size_t room)
{
    uint64_t before = s->count ? s->steps[s->count - 1].at_ns : 0;
    bool relative = word[0] == '+';

    if (text_time(word + relative, at_ns) < 0) {
        snprintf(err, room, "\"%s\" is no time", word);
        return -EINVAL;
    }
    if (relative)
        *at_ns += before;
    if (*at_ns >= before)
        return 0;
    snprintf(err, room, "%s is before the event above", word);
    return -EINVAL;
}

static int take_step(struct story *s, int line, const char *text, struct words *w, char *err,
                     size_t room)
{
    struct step step = {.line = line};

    if (take_time(s, w->at[0], &step.at_ns, err, room) < 0)
        return -EINVAL;
    if (w->count < 2) {
        snprintf(err, room, "a time, and nothing happens");
        return -EINVAL;
    }
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 32;
        s->steps = alloc_grow(s->steps, s->room, sizeof(*s->steps));
    }
    step.text = alloc_copy(text, strcspn(text, "\n"));
    words_init(&step.words);
    for (size_t i = 1; i < w->count; i++)
        words_add(&step.words, w->at[i], strlen(w->at[i]));
    s->steps[s->count++] = step;
    return 0;
}

int story_add(struct story *s, int line, const char *text, char *err, size_t room)
{
    struct words w;
    int rc = 0;

    text += strspn(text, " \t");
    if (*text == '#' || *text == '\n' || *text == '\0')
        return 0;
    words_init(&w);
    words_cut(&w, text);
    if (w.count && strcmp(w.at[0], "config") == 0)
        rc = take_settings(s, &w, err, room);
    else if (w.count)
        rc = take_step(s, line, text, &w, err, room);
    words_deinit(&w);
    return rc;
}

int story_read(struct story *s, char *err, size_t room)
{
    FILE *f = fopen(s->file, "r");
    char *text = NULL, why[200];
    size_t size = 0;
    int line = 0, rc = 0;

    if (!f) {
        snprintf(err, room, "%s: %s", s->file, strerror(errno));
        return -errno;
    }
    while (rc == 0 && getline(&text, &size, f) >= 0) {
        rc = story_add(s, ++line, text, why, sizeof(why));
        if (rc < 0)
            snprintf(err, room, "%s:%d: %s", s->file, line, why);
    }
    free(text);
    fclose(f);
    return rc;
}
