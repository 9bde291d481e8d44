/* SPDX-License-Identifier: MIT */
#include "template.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "buf.h"
#include "jsonpath.h"

enum filter {
    FILTER_LOWER = 1 << 0,
    FILTER_SLUG = 1 << 1,
    FILTER_PATH = 1 << 2,
    FILTER_SPLIT = 1 << 3
};

static const struct {
    const char *name;
    enum filter bit;
} filters[] = {
    {"lower", FILTER_LOWER},
    {"slug", FILTER_SLUG},
    {"path", FILTER_PATH},
    {"split", FILTER_SPLIT},
};

enum part_kind { PART_LITERAL, PART_VALUE, PART_HEADER };

#define NO_LIST (-1)

struct part {
    enum part_kind kind;
    char *text; /* the bytes of a literal, or the name of a header */
    size_t text_bytes;
    unsigned
        filters; /* bits of enum filter; only split depends on the order, and it must be first */
    struct jsonpath path;
    int list;                          /* the list from whose current element the steps start */
    const struct jsonpath_step *steps; /* the steps of `path` after its last [] */
    uint32_t steps_count;
};

/* One [] of the template: the list it stands for is reached from `outer` by `steps`. */
struct template_list {
    int outer;
    const struct jsonpath_step *steps; /* point into the first part that uses the list */
    uint32_t steps_count;
};

struct template
{
    struct part parts[TEMPLATE_PARTS_MAX];
    uint32_t parts_count;
    struct template_list lists[TEMPLATE_LISTS_MAX]; /* outer lists come before inner lists */
    uint32_t lists_count;
};

/* -- from text to parts -- */

struct template_parse {
    struct template *t;
    struct span text;
    size_t at;
    struct error *err;
};

static int template_error(struct template_parse *x, size_t at, const char *why)
{
    return error_set(x->err, -EINVAL, "byte %zu: %s", at + 1, why);
}

static struct part *add_part(struct template_parse *x, enum part_kind kind)
{
    struct part *p;

    if (x->t->parts_count == TEMPLATE_PARTS_MAX)
        return NULL;
    p = &x->t->parts[x->t->parts_count++];
    *p = (struct part){.kind = kind, .list = NO_LIST};
    return p;
}

static int take_literal(struct template_parse *x)
{
    struct part *p = add_part(x, PART_LITERAL);
    size_t start = x->at;

    if (!p)
        return template_error(x, start, "more than 32 parts");
    p->text = alloc_bytes(x->text.n - x->at + 1);
    for (; x->at < x->text.n; x->at++) {
        char c = x->text.p[x->at];
        bool doubled = x->at + 1 < x->text.n && x->text.p[x->at + 1] == c;

        if (c == '{' && !doubled)
            break;
        if (c == '}' && !doubled)
            return template_error(x, x->at, "a } without its {; }} is a brace");
        if (c == '{' || c == '}')
            x->at++;
        p->text[p->text_bytes++] = c;
    }
    return 0;
}

/* The position of the first byte from `at` on that is one of `stops` and outside double quotes;
 * text.n if there is none. */
static size_t find_unquoted(struct span text, size_t at, const char *stops)
{
    bool quoted = false;

    for (; at < text.n; at++) {
        if (quoted && text.p[at] == '\\')
            at++;
        else if (text.p[at] == '"')
            quoted = !quoted;
        else if (!quoted && text.p[at] && strchr(stops, text.p[at]))
            return at;
    }
    return text.n;
}

static int take_filter(struct template_parse *x, struct part *p, size_t end)
{
    size_t start = x->at + 1;
    size_t stop = find_unquoted(x->text, start, "|}");
    struct span name = span_of(x->text.p + start, stop - start);

    must(stop <= end);
    for (unsigned i = 0; i < array_len(filters); i++) {
        if (!span_is(name, filters[i].name))
            continue;
        if (filters[i].bit == FILTER_SPLIT && p->filters)
            return template_error(x, start, "split must be the first filter");
        p->filters |= filters[i].bit;
        x->at = stop;
        return 0;
    }
    return template_error(x, start, "no such filter; there are lower, slug, path and split");
}

static int add_list(struct template *t, struct template_list l)
{
    for (uint32_t i = 0; i < t->lists_count; i++) {
        const struct template_list *other = &t->lists[i];

        if (other->outer == l.outer && other->steps_count == l.steps_count &&
            jsonpath_same(other->steps, l.steps, l.steps_count))
            return (int)i;
    }
    if (t->lists_count == TEMPLATE_LISTS_MAX)
        return -E2BIG;
    t->lists[t->lists_count] = l;
    return (int)t->lists_count++;
}

/* Maps every [] of the path to a list of the template, which is added if it is new. */
static int bind_lists(struct template *t, struct part *p)
{
    p->steps = p->path.steps;
    for (uint32_t i = 0; i < p->path.count; i++) {
        if (p->path.steps[i].kind != JSONPATH_EACH)
            continue;
        p->list = add_list(
            t, (struct template_list){p->list, p->steps, (uint32_t)(&p->path.steps[i] - p->steps)});
        if (p->list < 0)
            return -E2BIG;
        p->steps = &p->path.steps[i + 1];
    }
    p->steps_count = (uint32_t)(p->path.steps + p->path.count - p->steps);
    return 0;
}

static bool header_name_ok(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] >= 0x7f)
            return false;
    return name.n > 0;
}

static int take_content(struct template_parse *x, struct part *p, struct span content)
{
    size_t start = x->at, at = 0;
    const char *why = "";

    if (content.n >= 7 && memcmp(content.p, "header:", 7) == 0) {
        content = span_of(content.p + 7, content.n - 7);
        if (!header_name_ok(content))
            return template_error(x, start, "missing or invalid header name");
        p->kind = PART_HEADER;
        p->text = alloc_copy(content.p, content.n);
        p->text_bytes = content.n;
        return 0;
    }
    if (jsonpath_init(&p->path, content, &at, &why) < 0)
        return template_error(x, start + at, why);
    return bind_lists(x->t, p) < 0 ? template_error(x, start, "more than 8 lists in one template")
                                   : 0;
}

static int take_hole(struct template_parse *x)
{
    size_t open = x->at++;
    size_t end = find_unquoted(x->text, x->at, "}");
    size_t stop = find_unquoted(x->text, x->at, "|}");
    struct part *p = add_part(x, PART_VALUE);
    int e;

    if (!p)
        return template_error(x, open, "more than 32 parts");
    if (end == x->text.n)
        return template_error(x, open, "a { without its }; {{ is a brace");
    e = take_content(x, p, span_of(x->text.p + x->at, stop - x->at));
    x->at = stop;
    while (e == 0 && x->at < end)
        e = take_filter(x, p, end);
    x->at = end + 1;
    return e;
}

static bool is_hole(const struct template_parse *x)
{
    return x->text.p[x->at] == '{' && !(x->at + 1 < x->text.n && x->text.p[x->at + 1] == '{');
}

struct template *template_new(struct span text, struct error *err)
{
    struct template_parse x = {.text = text, .err = err};
    int e = 0;

    x.t = alloc_zeroed(1, sizeof(*x.t));
    if (text.n == 0)
        e = template_error(&x, 0, "the template is empty");
    else if (text.n > TEMPLATE_MAX_BYTES)
        e = template_error(&x, TEMPLATE_MAX_BYTES, "the template is longer than 2048 bytes");
    while (e == 0 && x.at < text.n)
        e = is_hole(&x) ? take_hole(&x) : take_literal(&x);
    if (e == 0)
        return x.t;
    template_free(x.t);
    return NULL;
}

void template_free(struct template *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->parts_count; i++) {
        free(t->parts[i].text);
        jsonpath_deinit(&t->parts[i].path);
    }
    free(t);
}

/* -- filters -- */

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static int put_lower(struct buf *b, struct span s)
{
    int e = buf_try_put(b, s);

    for (size_t i = 0; i < s.n && e == 0; i++)
        b->p[b->n - s.n + i] = to_lower(s.p[i]);
    return e;
}

static bool is_slug_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static int put_slug(struct buf *b, struct span s)
{
    bool gap = false, any = false;
    int e = 0;

    for (size_t i = 0; i < s.n && e == 0; i++) {
        char c = to_lower(s.p[i]);

        if (!is_slug_byte(c)) {
            gap = true;
            continue;
        }
        if (gap && any)
            e = buf_try_put(b, SPAN("-"));
        if (e == 0)
            e = buf_try_put(b, span_of(&c, 1));
        gap = false;
        any = true;
    }
    return e;
}

/* RFC 3986 section 3.3: bytes that a path may contain unescaped. A percent sign in the document is
 * treated as text, because a value that is already escaped needs no filter. */
static bool is_path_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~!$&'()*+,;=:@/", c));
}

static int put_path(struct buf *b, struct span s, bool lower)
{
    int e = 0;

    for (size_t i = 0; i < s.n && e == 0; i++) {
        char c = lower ? to_lower(s.p[i]) : s.p[i];
        char escaped[4];

        snprintf(escaped, sizeof(escaped), "%%%02X", (unsigned char)c);
        e = buf_try_put(b, is_path_byte(c) ? span_of(&c, 1) : span_of(escaped, 3));
    }
    return e;
}

static int put_filtered(struct buf *b, struct span s, unsigned set)
{
    if (set & FILTER_SLUG)
        return put_slug(b, s);
    if (set & FILTER_PATH)
        return put_path(b, s, set & FILTER_LOWER);
    return set & FILTER_LOWER ? put_lower(b, s) : buf_try_put(b, s);
}

/* -- from a document to results -- */

struct expansion {
    const struct template *t;
    struct template_source *source;
    const json_t *current[TEMPLATE_LISTS_MAX]; /* current element of each list */
    struct buf text;                           /* the result built so far */
    template_result result;
    void *context;
};

static int visit(struct expansion *x)
{
    return ++x->source->visits > TEMPLATE_VISITS_MAX ? -E2BIG : 0;
}

static int render(struct expansion *x, uint32_t from);

static int render_text(struct expansion *x, uint32_t at, struct span text)
{
    size_t before = x->text.n;
    int e = put_filtered(&x->text, text, x->t->parts[at].filters);

    if (e == 0)
        e = render(x, at + 1);
    x->text.n = before;
    return e;
}

static int render_split(struct expansion *x, uint32_t at, struct span text)
{
    struct span word;
    int e = 0;

    while (e == 0 && span_next_word(&text, ',', &word)) {
        word = span_trim(word);
        e = visit(x);
        if (e == 0 && word.n)
            e = render_text(x, at, word);
    }
    return e;
}

static bool part_text(const struct expansion *x, const struct part *p,
                      char room[JSONPATH_NUMBER_ROOM], struct span *out)
{
    const json_t *from = p->list == NO_LIST ? x->source->document : x->current[p->list];
    const json_t *value;

    if (p->kind == PART_LITERAL) {
        *out = span_of(p->text, p->text_bytes);
        return true;
    }
    if (p->kind == PART_HEADER)
        return x->source->header && x->source->header(x->source->header_context, p->text, out);
    value = jsonpath_follow(from, p->steps, p->steps_count);
    return value && jsonpath_text(value, room, out);
}

static int render(struct expansion *x, uint32_t from)
{
    char room[JSONPATH_NUMBER_ROOM];
    struct span text;

    if (from == x->t->parts_count) {
        int e = visit(x);

        return e < 0 || x->text.n == 0 ? e : x->result(x->context, buf_span(&x->text));
    }
    if (!part_text(x, &x->t->parts[from], room, &text)) {
        x->source->missing++;
        return 0;
    }
    if (x->t->parts[from].filters & FILTER_SPLIT)
        return render_split(x, from, text);
    return render_text(x, from, text);
}

static int walk(struct expansion *x, uint32_t nth)
{
    const struct template_list *l = &x->t->lists[nth];
    const json_t *list;
    int e = 0;

    if (nth == x->t->lists_count)
        return render(x, 0);
    list = l->outer == NO_LIST ? x->source->document : x->current[l->outer];
    list = jsonpath_follow(list, l->steps, l->steps_count);
    if (!json_is_array(list)) {
        x->source->missing++;
        return 0;
    }
    for (size_t i = 0; i < json_array_size(list) && e == 0; i++) {
        x->current[nth] = json_array_get(list, i);
        e = visit(x);
        if (e == 0)
            e = walk(x, nth + 1);
    }
    return e;
}

int template_expand(const struct template *t, struct template_source *source,
                    template_result result, void *context)
{
    struct expansion x = {.t = t, .source = source, .result = result, .context = context};
    int e;

    buf_init(&x.text, TEMPLATE_RESULT_MAX_BYTES);
    e = walk(&x, 0);
    buf_deinit(&x.text);
    return e;
}
