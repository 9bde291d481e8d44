#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the Debian packages, from inside a machine that was booted with systemd: see tests/systemd.

apt installs them from a signed repository, which a web server here serves. They are configured as their configuration file
says, upgraded while jobs are pushed, removed and purged. This runs as root and changes the machine. tests/systemd discards the
changes afterwards.
"""
import http.server
import os
import re
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
from service_checks import API_PORT, EXPOSURE_MAX, FASTLY, SETTINGS, TOKEN, Fastly, Service, output, read, run, write  # noqa: E402
from stage import ROOT, SERVICE, Score, until  # noqa: E402

REPOSITORY = "/repository"  # and /repository.next, with the packages of a next version
PORT = 8090
SOURCES_FILE = "/etc/apt/sources.list.d/purgeline.sources"
SOURCES = [f"purgeline-source-{name}" for name in ("amqp", "kafka", "nats", "postgres")]
NAMES = ["purgeline", *SOURCES, "libpurgeline0", "libpurgeline-dev"]
SECRET = "tkn-of-the-packages"
PUSHES = 200
APT = "DEBIAN_FRONTEND=noninteractive apt-get --yes -o Acquire::http::Proxy::127.0.0.1=DIRECT"
# Only the lists of the own repository are fetched anew: there is no network.
OWN = f"-o Dir::Etc::SourceList={SOURCES_FILE} -o Dir::Etc::SourceParts=- -o APT::Get::List-Cleanup=0 " \
      "-o APT::Update::Error-Mode=any"
PROGRAM = """
#include <purgeline.h>
int main(void)
{
    struct purgeline *p;
    char why[200];

    return purgeline_open("redis://127.0.0.1:1", "main", &p, why, sizeof(why)) != PURGELINE_LOST;
}
"""


class Checks:
    def __init__(self):
        self.score = Score()
        self.ok = self.score.ok
        self.fastly, self.service = Fastly(), Service()
        self.repository, self.fetched = REPOSITORY, []

    def apt(self, words, what):
        code, said = run(f"{APT} {words}")
        return self.ok(code == 0, what, said[-3000:])

    def serve(self):
        """Serves self.repository, which may be changed meanwhile."""
        checks = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(handler, *words):
                super().__init__(*words, directory=checks.repository)

            def log_message(handler, *words):
                checks.fetched.append(handler.path)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def update(self):
        self.fetched.clear()
        self.apt(f"{OWN} update", "apt-get update accepts the repository")

    def version(self):
        return output("dpkg-query -W -f '${Version}' purgeline").strip()

    def left(self):
        """What there is of purgeline on this machine, but for the checkout, and for what dpkg and systemd write down."""
        own = [ROOT, REPOSITORY, f"{REPOSITORY}.next", "/proc", "/sys", "/dev", "/run/log", FASTLY, "/var/log", "/var/lib/apt",
               "/var/cache/apt"]
        skipped = " ".join(f"-path {folder} -prune -o" for folder in own)
        return output(f"find / {skipped} -name '*purgeline*' -print").split()

    def install(self):
        self.ok(self.left() == [], "before, nothing of purgeline is there", self.left())
        suite = output(". /etc/os-release && echo $VERSION_CODENAME").strip()
        output(f"install -D -m 644 {REPOSITORY}/purgeline.gpg /etc/apt/keyrings/purgeline.gpg")
        output(f"install -m 644 {REPOSITORY}/purgeline-{suite}.sources {SOURCES_FILE}")
        self.serve()
        self.update()
        self.apt(f"install {' '.join(NAMES)}", "apt-get install")
        release = output(". /etc/os-release && echo $VERSION_ID").strip()
        self.ok(self.version().endswith(f"+deb{release}"), f"the version is that of Debian {release}", self.version())
        hashed = [path for path in self.fetched if "/by-hash/" in path]
        self.ok(hashed and any(path.endswith(".deb") for path in self.fetched), "they come from the repository", self.fetched)
        until("the service is active", self.service.is_active)
        self.ok(True, "the service runs at once")
        enabled = output("systemctl is-enabled purgeline || true").strip()
        self.ok(enabled == "enabled", "and after the next boot", enabled)
        why = self.service.await_unready("token")
        self.ok(TOKEN in why or "no token" in why, "it waits for its token, and /readyz says so", why)
        until("the journal has the sentence", lambda: "The account has no token" in self.service.journal())
        self.ok(f"put a valid one into {TOKEN}" in self.service.journal(), "the log says where to put it",
                self.service.journal())
        owner = output("stat -c %U:%G:%a /var/lib/purgeline").strip()
        self.ok(owner == "purgeline:purgeline:700", "its folder is its own", owner)

    def configure(self):
        """As the comments of the configuration file say; the sandbox stands for Fastly."""
        self.fastly.start(SECRET)
        output(f"install -D -m 644 {FASTLY}/ca.pem /etc/purgeline/ca.pem")
        steps = re.findall(r"^#    +(.*)$", read(SETTINGS), re.M)
        write("/root/token", SECRET + "\n", 0o600)
        text, count = re.subn(r"^( *)services: \[\]$", f"\\1services: [{{id: {SERVICE}, name: news}}]\n"
                              f"\\1api: https://127.0.0.1:{API_PORT}\n\\1ca_file: /etc/purgeline/ca.pem",
                              read(SETTINGS), flags=re.M)
        self.ok(count == 1, "the configuration has a line for the services", read(SETTINGS))
        write(SETTINGS, text)
        install = next(step for step in steps if step.startswith("install "))
        output(install.replace("TOKENFILE", "/root/token"))
        code, said = run("systemctl reload purgeline && purgeline check")
        self.ok(code == 0, "then reload and check succeed", said, "" if code == 0 else self.service.journal())
        self.service.await_ready()
        code, said = run("purgeline push --wait article-17")
        self.ok(code == 0 and "article-17" in self.fastly.purged(), "and a push purges", said)

    def pages(self, *numbers):
        """Version and state of pages of the sandbox's site, as a visitor sees them."""
        return [output(f". {FASTLY}/env && curl -s -o /dev/null -w '%header{{x-version}} %header{{x-cache}}' "
                       f"$SANDBOX_SITE/article/{n}") for n in numbers]

    def pages_become_fresh(self):
        """The purges of deploy/quickstart: by URL, by key, a file of keys, and over HTTP."""
        self.pages(*range(1, 8))
        self.ok(self.pages(1, 2, 7) == ["1 HIT"] * 3, "pages come from the cache", self.pages(1, 2, 7))
        write("/root/keys", "article-3\narticle-4\narticle-3\n")
        for what, command, numbers in (
                ("a URL", f". {FASTLY}/env && purgeline push --wait $SANDBOX_SITE/article/1", (1,)),
                ("a key", "purgeline push --wait article-2", (2,)),
                ("a file of keys", "purgeline push --wait --lane bulk --file /root/keys", (3, 4))):
            code, said = run(command)
            self.ok(code == 0 and self.pages(*numbers) == ["2 MISS"] * len(numbers), f"{what}: pages are fresh", said)
        code, said = run("""curl -s -f -d '{"keys":["article-5"]}' http://127.0.0.1:8126/v1/purge""")
        until("a push over HTTP purges", lambda: self.pages(5)[0].startswith("2 "))
        code, said = run("curl -s -f -X POST -H 'Surrogate-Key: article-6' "
                         f"http://127.0.0.1:8126/service/{SERVICE}/purge")
        until("a push like Fastly's own purges", lambda: self.pages(6)[0].startswith("2 "))
        self.ok(self.pages(7) == ["1 HIT"], "over HTTP, too; the others are still cached", self.pages(7))

    def exposure(self):
        unit = self.service.show("FragmentPath")
        code, said = run(f"systemd-analyze security --no-pager --offline=yes --threshold={int(EXPOSURE_MAX * 10)} {unit}")
        self.ok(code == 0, f"systemd-analyze security finds an exposure of at most {EXPOSURE_MAX}",
                *(line for line in said.splitlines() if "✓" not in line))

    def library(self):
        write("/root/uses.c", PROGRAM)
        code, said = run("cd /root && gcc -Wall -Werror uses.c $(pkg-config --cflags --libs libpurgeline) -o uses && ./uses")
        self.ok(code == 0, "a program is built with libpurgeline-dev, and runs", said)
        code, said = run("ls /usr/share/man/man1/purgeline.1.gz /usr/share/man/man3/purgeline.3.gz")
        self.ok(code == 0, "there are manual pages", said)

    def upgrade(self):
        """While a producer pushes one key after the other."""
        before, old = self.service.pid(), self.version()
        self.repository = f"{REPOSITORY}.next"
        self.update()
        output(f"""nohup bash -c 'for i in $(seq {PUSHES}); do
            until purgeline push --quiet during-$i; do sleep 0.1; done; done; touch /root/pushed' >/root/pushes 2>&1 </dev/null &""")
        until("the first are pushed", lambda: "during-3" in self.fastly.purged())
        self.apt(f"install --only-upgrade {' '.join(NAMES)}", "an upgrade while jobs are pushed")
        self.ok(self.version() == f"{old}.1", "the next version is installed", self.version())
        self.service.await_ready()
        self.ok(self.service.pid() != before, "the new version runs")
        until("all are pushed", lambda: os.path.exists("/root/pushed"))
        self.fastly.await_purged(*[f"during-{i}" for i in range(1, PUSHES + 1)])
        self.ok(True, "each job is purged")
        self.ok("ca_file" in read(SETTINGS), "the configuration is as it was")

    def remove(self):
        self.apt(f"remove {' '.join(NAMES)}", "apt-get remove")
        self.ok(not self.service.is_active(), "the service is stopped")
        self.ok(not os.path.exists("/usr/bin/purgeline"), "the program is gone")
        kept = [os.path.exists(path) for path in (SETTINGS, TOKEN, "/var/lib/purgeline")]
        self.ok(all(kept), "configuration, token and jobs are kept", kept)
        self.apt(f"install {' '.join(NAMES)}", "installed again")
        self.service.await_ready()
        self.ok(True, "it goes on as before")

    def purge(self):
        self.apt(f"purge {' '.join(NAMES)}", "apt-get purge")
        output("systemctl daemon-reload")
        left = set(self.left()) - {SOURCES_FILE, "/etc/apt/keyrings/purgeline.gpg"}
        self.ok(not left, "nothing of purgeline is left", *left)
        code, said = run("getent passwd purgeline")
        self.ok(code != 0, "no user, either", said)
        self.apt(f"install {' '.join(NAMES)}", "installed once more")
        self.service.await_unready("token")
        self.ok(True, "it waits for its token, as at first")

    def all(self):
        """Each check starts with the state that the previous one left."""
        for check in (self.install, self.configure, self.pages_become_fresh, self.exposure, self.library, self.upgrade,
                      self.remove, self.purge):
            try:
                check()
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as wrong:
                self.ok(False, f"{check.__name__} and the checks after it can be finished", wrong,
                        self.service.journal())
                break
        return self.score.close()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(Checks().all())
