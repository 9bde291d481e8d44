/* SPDX-License-Identifier: MIT */
#include "web.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "free_port.h"

#define PORTS 6

/* PURGE requests are written down before they are answered: nginx' own log is written after. */
static const char answer_lua[] =
    "if ngx.req.get_method() == 'PURGE' then\n"
    "  local file = io.open(ngx.config.prefix() .. 'requests.log', 'a')\n"
    "  file:write(ngx.var.server_port, ' ', ngx.var.server_protocol, ' ', ngx.var.request_uri, "
    "' key=',\n"
    "    ngx.var.http_fastly_key or '-', ' agent=', ngx.var.http_user_agent or '-', '\\n')\n"
    "  file:close()\n"
    "end\n"
    "local h = ngx.req.get_headers(100)\n"
    "local what, n = string.match(h['x-do'] or ngx.unescape_uri(ngx.var.arg_do or ''), '(%a+) "
    "?(%d*)')\n"
    "n = tonumber(n)\n"
    "if what == 'status' then\n"
    "  ngx.status = n\n"
    "  ngx.header['Retry-After'] = '7'\n"
    "  ngx.header['Fastly-RateLimit-Remaining'] = '41'\n"
    "  ngx.header['Fastly-RateLimit-Reset'] = '1700000000'\n"
    "  ngx.print('so be it') return\n"
    "elseif what == 'redirect' then return ngx.redirect('/elsewhere', 302)\n"
    "elseif what == 'sleep' then ngx.sleep(n / 1000)\n"
    "elseif what == 'bytes' then ngx.print(string.rep('x', n)) return\n"
    "elseif what == 'cut' then\n"
    "  ngx.header['Content-Length'] = 1000\n"
    "  ngx.print('begun') ngx.flush(true) return ngx.exit(444)\n"
    "end\n"
    "ngx.req.read_body()\n"
    "local lines = {}\n"
    "for k, v in pairs(h) do lines[#lines + 1] = k .. ': ' .. tostring(v) end\n"
    "table.sort(lines)\n"
    "ngx.print(ngx.req.get_method(), ' ', ngx.var.request_uri, ' ', ngx.var.server_protocol, "
    "'\\n',\n"
    "  table.concat(lines, '\\n'), '\\n\\n', ngx.req.get_body_data() or '')\n";

static const char conf[] =
    "load_module /usr/lib/nginx/modules/ndk_http_module.so;\n"
    "load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;\n"
    "daemon off; master_process off; pid pid; error_log error.log warn;\n"
    "events { worker_connections 4096; }\n"
    "http {\n"
    "  access_log off; server_tokens off; keepalive_requests 1000000; default_type text/plain;\n"
    "  lua_package_path '/usr/share/lua/5.1/?.lua;;';\n"
    "  client_body_buffer_size 1m; client_max_body_size 2m; large_client_header_buffers 8 64k;\n"
    "  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t;\n"
    "  scgi_temp_path t; merge_slashes off; http2_max_concurrent_streams 128;\n"
    "  ssl_certificate leaf.pem; ssl_certificate_key leaf.key; ssl_session_tickets off;\n"
    "  server { listen 127.0.0.1:%u ssl http2 backlog=4096; location / { content_by_lua_file "
    "answer.lua; } }\n"
    "  server { listen 127.0.0.1:%u ssl backlog=4096; location / { content_by_lua_file answer.lua; "
    "} "
    "}\n"
    "  server { listen 127.0.0.1:%u ssl http2; keepalive_timeout 20ms; location / { "
    "content_by_lua_file answer.lua; } }\n"
    "  server { listen 127.0.0.1:%u ssl http2; keepalive_requests 20; location / { "
    "content_by_lua_file answer.lua; } }\n"
    "  server { listen 127.0.0.1:%u; location / { content_by_lua_file answer.lua; } }\n"
    "}\n";

static void write_file(const struct web *w, const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    f = fopen(path, "w");
    must(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void run_in(const struct web *w, const char *command)
{
    char line[1024];
    int status;

    snprintf(line, sizeof(line), "cd %s && { %s; } >setup.log 2>&1", w->dir, command);
    status = system(line);
    if (status != 0)
        fprintf(stderr, "failed: %s\n", line);
    must(status == 0);
}

static void make_authorities(const struct web *w)
{
    write_file(w, "san", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    for (int i = 0; i < 2; i++)
        run_in(w, i ? "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
                      " -subj /CN=other -keyout other.key -out other.pem"
                    : "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
                      " -subj /CN=own -keyout own.key -out own.pem");
    run_in(w, "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
              " -keyout leaf.key -out leaf.csr");
    run_in(w, "openssl x509 -req -in leaf.csr -CA own.pem -CAkey own.key -CAcreateserial -days 2"
              " -extfile san -out leaf.pem");
}

static void wait_for_port(const struct web *w, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

    in.sin_port = htons(port);
    for (int tries = 0; tries < 1000; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int err = connect(fd, (struct sockaddr *)&in, sizeof(in));

        close(fd);
        if (err == 0)
            return;
        must(waitpid(w->pid, NULL, WNOHANG) == 0);
        nanosleep(&pause, NULL);
    }
    must(!"nginx did not start");
}

static void launch(struct web *w)
{
    char prefix[80];

    snprintf(prefix, sizeof(prefix), "%s/", w->dir);
    w->pid = fork();
    must(w->pid >= 0);
    if (w->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with the test, even if that aborts */
        execlp("nginx", "nginx", "-p", prefix, "-c", "nginx.conf", "-e", "error.log", (char *)NULL);
        execl("/usr/sbin/nginx", "nginx", "-p", prefix, "-c", "nginx.conf", "-e", "error.log",
              (char *)NULL);
        _exit(127);
    }
}

void web_start(struct web *w)
{
    uint16_t port[PORTS];
    char text[sizeof(conf) + 64];

    snprintf(w->dir, sizeof(w->dir), "/tmp/purgeline-web-XXXXXX");
    must(mkdtemp(w->dir) != NULL);
    snprintf(w->ca, sizeof(w->ca), "%s/own.pem", w->dir);
    snprintf(w->other_ca, sizeof(w->other_ca), "%s/other.pem", w->dir);
    snprintf(w->log, sizeof(w->log), "%s/requests.log", w->dir);
    make_authorities(w);
    for (int i = 0; i < PORTS; i++)
        port[i] = (uint16_t)free_port();
    snprintf(text, sizeof(text), conf, port[0], port[1], port[2], port[3], port[4]);
    write_file(w, "nginx.conf", text);
    write_file(w, "answer.lua", answer_lua);
    w->h2 = port[0];
    w->h1 = port[1];
    w->hasty = port[2];
    w->few = port[3];
    w->plain = port[4];
    w->nobody = port[5];
    launch(w);
    wait_for_port(w, w->plain);
}

void web_stop(struct web *w)
{
    char line[96];

    kill(w->pid, SIGKILL);
    waitpid(w->pid, NULL, 0);
    snprintf(line, sizeof(line), "rm -rf %s", w->dir);
    must(system(line) == 0);
}
