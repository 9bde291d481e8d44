#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The service as people install it, looked at from inside a machine that systemd has booted: see tests/systemd.

It runs as root and changes the machine it runs in: tests/systemd throws that away afterwards.
"""
import json
import os
import re
import secrets
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "live"))
from stage import PATIENCE_S, ROOT, SERVICE, Score, ask, until  # noqa: E402
from test_documents import blocks, commands  # noqa: E402

DOCUMENT = "deploy/README.md"
UNIT_FILE = os.path.join(ROOT, "deploy/purgeline.service")
SETTINGS = "/etc/purgeline/purgeline.yaml"
HTTP = "http://127.0.0.1:8126"
FASTLY = "/run/fastly"
API_PORT = 8443
EXPOSURE_MAX = 1.9


def run(command, **options):
    """Exit code and output of a line of shell."""
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=10 * PATIENCE_S, **options)
    return done.returncode, done.stdout.decode(errors="replace")


def output(command):
    code, text = run(command)
    if code != 0:
        raise AssertionError(f"{command}: exit code {code}\n{text}")
    return text


def read(path):
    with open(path) as text:
        return text.read()


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        out.write(text)
    os.chmod(path, mode)


class Fastly:
    """The sandbox, at an address that stays the same."""

    def __init__(self):
        self.log = f"{FASTLY}/requests.log"

    def start(self, token):
        output(f"deploy/sandbox/sandbox up --dir {FASTLY} --api-port {API_PORT} --service {SERVICE} --token {token}")

    def stop(self):
        output(f"deploy/sandbox/sandbox down --dir {FASTLY}")

    def fault(self, *words):
        output(f"deploy/sandbox/sandbox fault --dir {FASTLY} {' '.join(words)}")

    def requests(self):
        return [json.loads(line) for line in read(self.log).splitlines()]

    def purged(self):
        """The keys that Fastly has purged."""
        return {key for r in self.requests() if r["purged"] for key in r["keys"]}

    def await_purged(self, *keys):
        until(f"Fastly purges {' '.join(keys)}", lambda: set(keys) <= self.purged())


class Service:
    """purgeline.service, as systemctl shows it."""

    def show(self, name):
        return output(f"systemctl show --property {name} --value purgeline").strip()

    def pid(self):
        return int(self.show("MainPID"))

    def is_active(self):
        return run("systemctl is-active purgeline")[1].strip() == "active"

    def ready(self):
        return ask(f"{HTTP}/readyz")

    def await_ready(self):
        until("the service is ready", lambda: self.is_active() and self.ready()[0] == 200)

    def await_unready(self, why):
        return until(f"the service is not ready: {why}",
                     lambda: self.ready()[0] == 503 and why in self.ready()[1] and self.ready()[1])

    def journal(self, cursor=None):
        return output(f"journalctl --no-pager -o cat -u purgeline {f'--after-cursor={cursor!r}' if cursor else ''}")

    def cursor(self):
        return output("journalctl --no-pager -n 0 --show-cursor").split("-- cursor: ")[1].strip()


class Checks:
    def __init__(self):
        self.score = Score()
        self.ok = self.score.ok
        self.fastly, self.service = Fastly(), Service()
        self.tokens = []

    # -- what others do ------------------------------------------------------------------------------

    def new_token(self):
        """One that Fastly takes from now on, and no other."""
        self.tokens.append(f"tkn-{secrets.token_hex(16)}")
        write("/root/token", self.tokens[-1] + "\n", 0o600)
        if len(self.tokens) > 1:
            self.fastly.stop()
        self.fastly.start(self.tokens[-1])

    def set(self, name, value):
        """Changes a setting in the file, as with an editor."""
        text, count = re.subn(rf"^(\s*(?:- )?{name}:) .*$", rf"\g<1> {value}", read(SETTINGS), flags=re.M)
        if count != 1:
            raise AssertionError(f"{name} stands {count} times in {SETTINGS}")
        write(SETTINGS, text)

    def push(self, *keys):
        code, said = run(f"purgeline push {' '.join(keys)}")
        return self.ok(code == 0, f"purgeline push takes {keys[0]}{' and more' if len(keys) > 1 else ''}", said)

    def post(self, key):
        """A job over HTTP: producers there read no file of settings."""
        code, said = run(f"""curl -s -w '%{{http_code}}' -d '{{"keys":["{key}"]}}' {HTTP}/v1/purge""")
        return said[-3:] if code == 0 else said

    # -- the document --------------------------------------------------------------------------------

    def obey(self, command):
        code, said = run(command.replace("/path/to/token", "/root/token"))
        return self.ok(code == 0, f"{DOCUMENT}: {command.splitlines()[0]}", f"exit code {code}", said)

    def point(self, name):
        """The commands within one point of the list: **name**: …"""
        text = re.search(rf"^\* \*\*{name}\*\*: (.*?)(?=^\* |\Z)", read(os.path.join(ROOT, DOCUMENT)), re.M | re.S)
        return re.findall(r"`((?:install|systemctl) [^`]*)`", " ".join(text.group(1).split()))

    def install(self):
        self.new_token()
        output(f"install -D -m 644 {FASTLY}/ca.pem /etc/purgeline/ca.pem")
        for command in commands(blocks(DOCUMENT)[0]):
            if "systemctl enable" in command:
                self.configure()
            self.obey(command)
            if "systemctl enable" in command:
                self.service.await_ready()

    def configure(self):
        """What the document tells people to do between two of its lines."""
        self.set("services", f"[{{id: {SERVICE}, name: news}}]")
        self.set("api", f"https://127.0.0.1:{API_PORT}")
        self.set("ca_file", "/etc/purgeline/ca.pem")

    # -- the checks ----------------------------------------------------------------------------------

    def devices(self):
        """Where nobody may make device nodes, the unit is tried without the one setting that needs them."""
        probe = "systemd-run --quiet --wait --pipe --property=PrivateDevices={} true"
        if run(probe.format("yes"))[0] == 0:
            print("# PrivateDevices= is on, as the unit has it")
        elif run(probe.format("no"))[0] == 0:
            print("# PrivateDevices= is off here: this machine lets nobody make device nodes")
            write("/etc/systemd/system/purgeline.service.d/devices.conf", "[Service]\nPrivateDevices=no\n")

    def start(self):
        self.install()
        self.ok(self.service.is_active(), "the unit is active", output("systemctl status purgeline || true"))
        print(f"# Type={self.service.show('Type')}, ready after it")
        self.fastly.await_purged("article-17")
        self.ok(True, "what the document pushes has been purged")
        owner = output("stat -c '%U:%G %a' /etc/purgeline/token").strip()
        self.ok(owner == "root:purgeline 640", "the token is for root and the service alone", owner)
        status = read(f"/proc/{self.service.pid()}/status")
        user = output("id -u purgeline").strip()
        self.ok(re.search(rf"^Uid:\t{user}\t", status, re.M) and re.search(r"^CapEff:\t0+$", status, re.M),
                "the daemon runs as purgeline and has no capability", status)

    def broken_file(self):
        """The reload fails, and what was in force before stays so."""
        good, pid = read(SETTINGS), self.service.pid()
        for what, break_it in (
                ("a setting that does not exist", lambda: write(SETTINGS, good + "no_such_setting: 1\n")),
                ("a file that is no YAML", lambda: write(SETTINGS, "accounts: [\n")),
                ("a token that anybody may change", lambda: os.chmod("/etc/purgeline/token", 0o666)),
                ("no token", lambda: os.rename("/etc/purgeline/token", "/etc/purgeline/token.away"))):
            cursor = self.service.cursor()
            break_it()
            code, said = run("systemctl reload purgeline")
            self.ok(code != 0, f"{what}: the reload fails", said)
            until("the journal has the reason", lambda: self.service.journal(cursor).strip())
            key = f"after-{what.replace(' ', '-')}"
            answer = self.post(key)
            self.ok(answer == "202" and self.service.is_active() and self.service.pid() == pid,
                    f"{what}: the old configuration goes on", answer, self.service.journal(cursor))
            self.fastly.await_purged(key)
            write(SETTINGS, good)
            if os.path.exists("/etc/purgeline/token.away"):
                os.rename("/etc/purgeline/token.away", "/etc/purgeline/token")
            os.chmod("/etc/purgeline/token", 0o640)
        code, said = run("systemctl reload purgeline")
        self.ok(code == 0, "mended, it can be reloaded", said, self.service.journal())

    def killed(self):
        keys = self.backlog("killed")
        before, restarts = self.service.pid(), int(self.service.show("NRestarts"))
        os.kill(before, 9)
        until("systemd starts it again", lambda: int(self.service.show("NRestarts")) == restarts + 1 and
              self.service.is_active() and self.service.pid() not in (0, before))
        self.ok(True, "killed, it is started again by systemd")
        self.service.await_ready()
        self.end_of_outage(keys, "its backlog is sent")

    def backlog(self, name):
        """Jobs that wait, for Fastly has an outage."""
        keys = [f"{name}-{i}" for i in range(50)]
        self.fastly.fault("status=503")
        self.push(*keys)
        until("Fastly has said no", lambda: any(r["status"] == 503 and keys[0] in r.get("keys", ())
                                                for r in self.fastly.requests()))
        self.ok(not set(keys) & self.fastly.purged(), "while Fastly is out of order, they wait")
        return keys

    def end_of_outage(self, keys, sentence):
        self.fastly.fault("status=0")
        self.fastly.await_purged(*keys)
        self.ok(True, sentence)

    def stop(self):
        pids = output(f"cat /sys/fs/cgroup{self.service.show('ControlGroup')}/cgroup.procs").split()
        code, said = run("systemctl stop purgeline")
        self.ok(code == 0 and self.service.show("ActiveState") == "inactive", "it stops", said)
        results = [self.service.show(name) for name in ("Result", "ExecMainCode", "ExecMainStatus")]
        self.ok(results == ["success", "1", "0"], "within its time, with exit code 0", results)
        left = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
        self.ok(len(pids) > 1 and not left, "nothing of it is left, its Redis neither", pids, left)

    def secrets(self):
        journal = output("journalctl --no-pager -o export")
        self.ok("purgeline starts" in journal, "the journal has what the service said")
        for number, token in enumerate(self.tokens, 1):
            lines = [line.replace(token, "TOKEN") for line in journal.splitlines() if token in line]
            self.ok(not lines, f"token {number} is nowhere in the journal", *lines)

    def exposure(self):
        code, said = run(f"systemd-analyze security --no-pager --offline=yes --threshold={int(EXPOSURE_MAX * 10)} "
                         f"{UNIT_FILE}")
        print("# " + said.strip().splitlines()[-1])
        self.ok(code == 0, f"systemd-analyze security finds an exposure of at most {EXPOSURE_MAX}", said)

    def all(self):
        self.devices()
        for check in (self.start, self.broken_file, self.killed, self.stop, self.secrets, self.exposure):
            try:
                check()
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as wrong:
                self.ok(False, f"{check.__name__} came to an end", wrong, self.service.journal())
        return self.score.close()


if __name__ == "__main__":
    sys.exit(Checks().all())
