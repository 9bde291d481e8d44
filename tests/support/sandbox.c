/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <curl/curl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "await.h"
#include "buf.h"

#define START_PATIENCE_MS 60000u

struct sandbox {
    char folder[64];
    pid_t pid;
    char *api, *ca, *token, *log, *site, *control;
    CURL *curl;
};

/* -- starting and stopping -------------------------------------------------------------------- */

static void run_script(const struct sandbox *s, const char *const *options)
{
    const char *source = getenv("SOURCE_DIR");
    char *script = alloc_printf("%s/deploy/sandbox/sandbox", source);
    const char *argv[32] = {script, "run", "--dir", s->folder, "--budget", "0"};
    char *said = alloc_printf("%s.out", s->folder);
    size_t n = 6;

    must(source); /* set by ctest */
    for (; options && *options && n < array_len(argv) - 1; options++)
        argv[n++] = *options;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* it stops nginx and Varnish when we end */
    must(freopen(said, "w", stdout) && dup2(STDOUT_FILENO, STDERR_FILENO) >= 0);
    execv(script, (char **)argv);
    perror(script);
    _exit(127);
}

static bool has_ended(const struct sandbox *s)
{
    return waitpid(s->pid, NULL, WNOHANG) == s->pid;
}

static void show_output(const struct sandbox *s)
{
    char *command = alloc_printf("cat '%s.out' >&2", s->folder);

    if (system(command) != 0)
        fprintf(stderr, "sandbox: did not say why\n");
    free(command);
}

static bool is_up(struct sandbox *s, const char *env)
{
    if (access(env, R_OK) == 0)
        return true;
    if (has_ended(s)) {
        show_output(s);
        must(!"the sandbox starts");
    }
    return false;
}

static void read_env_line(struct sandbox *s, char *line)
{
    const struct {
        const char *name;
        char **to;
    } wanted[] = {{"SANDBOX_API", &s->api},     {"SANDBOX_CA", &s->ca},
                  {"SANDBOX_TOKEN", &s->token}, {"SANDBOX_LOG", &s->log},
                  {"SANDBOX_SITE", &s->site},   {"SANDBOX_CONTROL", &s->control}};
    char *value = strchr(line, '=');

    if (!value)
        return;
    *value++ = '\0';
    value[strcspn(value, "\n")] = '\0';
    for (size_t i = 0; i < array_len(wanted); i++)
        if (strcmp(line, wanted[i].name) == 0)
            *wanted[i].to = alloc_copy(value + 1, strlen(value) - 2); /* without the quotes */
}

static void read_env(struct sandbox *s, const char *path)
{
    FILE *f = fopen(path, "r");
    char line[1024];

    must(f);
    while (fgets(line, sizeof(line), f))
        read_env_line(s, line);
    fclose(f);
    must(s->api && s->ca && s->token && s->log && s->site && s->control);
}

struct sandbox *sandbox_start(const char *const *options)
{
    struct sandbox *s = alloc_zeroed(1, sizeof(*s));
    char *env;

    snprintf(s->folder, sizeof(s->folder), "/tmp/purgeline-sandbox-XXXXXX");
    must(mkdtemp(s->folder));
    env = alloc_printf("%s/env", s->folder);
    s->pid = fork();
    must(s->pid >= 0);
    if (s->pid == 0)
        run_script(s, options);
    await_until(-1, START_PATIENCE_MS, is_up(s, env));
    read_env(s, env);
    free(env);
    s->curl = curl_easy_init();
    must(s->curl);
    return s;
}

void sandbox_stop(struct sandbox *s)
{
    char *command;

    if (!s)
        return;
    kill(s->pid, SIGTERM);
    must(waitpid(s->pid, NULL, 0) == s->pid);
    curl_easy_cleanup(s->curl);
    command = alloc_printf("rm -rf '%s' '%s.out'", s->folder, s->folder);
    must(system(command) == 0);
    free(command);
    free(s->api);
    free(s->ca);
    free(s->token);
    free(s->log);
    free(s->site);
    free(s->control);
    free(s);
}

/* -- the control port ------------------------------------------------------------------------- */

static size_t swallow(char *p, size_t size, size_t n, void *ctx)
{
    (void)p;
    (void)ctx;
    return size * n;
}

static size_t keep(char *p, size_t size, size_t n, void *ctx)
{
    buf_put(ctx, span_of(p, size * n));
    return size * n;
}

bool sandbox_faults_used_up(struct sandbox *s)
{
    char *url = alloc_printf("%s/state", s->control);
    bool used_up = true;
    struct buf body;
    json_t *state, *fault;
    size_t i;

    buf_init(&body, 1 << 20);
    curl_easy_reset(s->curl);
    curl_easy_setopt(s->curl, CURLOPT_URL, url);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, &body);
    must(curl_easy_perform(s->curl) == CURLE_OK);
    state = json_loadb(body.p, body.n, 0, NULL);
    must(state);
    json_array_foreach(json_object_get(state, "faults"), i, fault)
    {
        used_up &= json_integer_value(json_object_get(fault, "left")) == 0;
    }
    json_decref(state);
    buf_deinit(&body);
    free(url);
    return used_up;
}

static void post(struct sandbox *s, const char *path, const char *form)
{
    char *url = alloc_printf("%s%s", s->control, path);
    long status = 0;

    curl_easy_reset(s->curl);
    curl_easy_setopt(s->curl, CURLOPT_URL, url);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, form);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT, 120L);
    must(curl_easy_perform(s->curl) == CURLE_OK);
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        fprintf(stderr, "sandbox: %s %s: %ld\n", path, form, status);
    must(status == 200);
    free(url);
}

void sandbox_fault(struct sandbox *s, const char *fmt, ...)
{
    char form[1024];
    va_list ap;

    va_start(ap, fmt);
    must((size_t)vsnprintf(form, sizeof(form), fmt, ap) < sizeof(form));
    va_end(ap);
    post(s, "/fault", form);
}

void sandbox_reset(struct sandbox *s)
{
    post(s, "/reset", "");
}

const char *sandbox_api(const struct sandbox *s)
{
    return s->api;
}

const char *sandbox_ca(const struct sandbox *s)
{
    return s->ca;
}

const char *sandbox_token(const struct sandbox *s)
{
    return s->token;
}

const char *sandbox_log(const struct sandbox *s)
{
    return s->log;
}

const char *sandbox_site(const struct sandbox *s)
{
    return s->site;
}

/* -- the site --------------------------------------------------------------------------------- */

static size_t read_header(char *p, size_t size, size_t n, void *ctx)
{
    struct page *page = ctx;
    char line[256];

    snprintf(line, sizeof(line), "%.*s", (int)(size * n), p);
    if (strncasecmp(line, "X-Cache: HIT", 12) == 0)
        page->hit = true;
    if (strncasecmp(line, "X-Cache-Stale:", 14) == 0)
        page->stale = true;
    if (strncasecmp(line, "X-Version:", 10) == 0)
        page->version = (unsigned)strtoul(line + 10, NULL, 10);
    return size * n;
}

struct page sandbox_page(struct sandbox *s, const char *host, const char *path)
{
    struct page page = {0};
    char *url = alloc_printf("%s%s", s->site, path);
    char *header = host ? alloc_printf("Host: %s", host) : NULL;
    struct curl_slist *headers = header ? curl_slist_append(NULL, header) : NULL;
    long status = 0;

    curl_easy_reset(s->curl);
    curl_easy_setopt(s->curl, CURLOPT_URL, url);
    curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(s->curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(s->curl, CURLOPT_HEADERFUNCTION, read_header);
    curl_easy_setopt(s->curl, CURLOPT_HEADERDATA, &page);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT, 120L);
    must(curl_easy_perform(s->curl) == CURLE_OK);
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    must(status == 200);
    curl_slist_free_all(headers);
    free(header);
    free(url);
    return page;
}
