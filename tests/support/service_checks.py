#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the installed service, from inside a machine that was booted with systemd: see tests/systemd.

This runs as root and changes the machine. tests/systemd discards the changes afterwards.
"""
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "live"))
from stage import PATIENCE_S, ROOT, SERVICE, Score, ask, until  # noqa: E402
from test_documents import blocks, commands  # noqa: E402

DOCUMENT = "deploy/README.md"
UNIT_FILE = "deploy/purgeline.service"
SETTINGS = "/etc/purgeline/purgeline.yaml"
PROGRAM = "build/release/purgeline"
DROP_INS = "/etc/systemd/system/purgeline.service.d"
TOKEN = "/etc/purgeline/token"
HTTP = "http://127.0.0.1:8126"
FASTLY = "/run/fastly"
API_PORT = 8443
EXPOSURE_MAX = 1.4


def run(command):
    """Runs a shell command. Returns its exit code and output."""
    done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=2 * PATIENCE_S)
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
    """The sandbox, always at the same address."""

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
        return {key for r in self.requests() if r["purged"] for key in r.get("keys", ())}

    def await_purged(self, *keys):
        until(f"Fastly purges {' '.join(keys)}", lambda: set(keys) <= self.purged())


class Service:
    """The state of purgeline.service, from systemctl."""

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
        self.block = next(block for block in blocks(DOCUMENT) if "systemctl enable" in block)
        self.tokens = []
        self.redis = ""              # assignment before each command; empty: the embedded Redis, which they find
        self.redis_password = f"pw-{secrets.token_hex(16)}"

    # -- what users and Fastly do --------------------------------------------------------------------

    def new_token(self):
        """Creates a new token. From now on, Fastly accepts only this one."""
        self.tokens.append(f"tkn-{secrets.token_hex(16)}")
        write("/root/token", self.tokens[-1] + "\n", 0o600)
        if len(self.tokens) > 1:
            self.fastly.stop()
        self.fastly.start(self.tokens[-1])

    def set(self, name, value, indent=r"\s*(?:- )?"):
        """Changes a setting in the configuration file."""
        text, count = re.subn(rf"^({indent}{name}:) .*$", rf"\g<1> {value}", read(SETTINGS), flags=re.M)
        if count != 1:
            raise AssertionError(f"{name} occurs {count} times in {SETTINGS}")
        write(SETTINGS, text)

    def push(self, *keys):
        code, said = run(f"{self.redis} purgeline push {' '.join(keys)}")
        return self.ok(code == 0, f"purgeline push takes {keys[0]}{' and more' if len(keys) > 1 else ''}", said)

    def post(self, key):
        """Pushes a job over HTTP, which works even while the configuration file is broken. Returns the status."""
        code, said = run(f"""curl -s -w '%{{http_code}}' -d '{{"keys":["{key}"]}}' {HTTP}/v1/purge""")
        return said[-3:] if code == 0 else said

    # -- the document --------------------------------------------------------------------------------

    def obey(self, command):
        code, said = run(command.replace("/path/to/token", "/root/token"))
        return self.ok(code == 0, f"{DOCUMENT}: {command.splitlines()[0]}", f"exit code {code}", said)

    def line(self, words):
        """The command that contains these words in the document's installation block."""
        return next(command for command in commands(self.block) if words in command)

    def point(self, beginning):
        """The commands in the list item that begins with these words."""
        text = re.search(rf"^\* {re.escape(beginning)}(.*?)(?=^\* |\Z)", read(DOCUMENT), re.M | re.S)
        return re.findall(r"`((?:install|systemctl|chgrp) [^`]*)`", " ".join(text.group(1).split()))

    def install(self):
        self.new_token()
        output(f"install -D -m 644 {FASTLY}/ca.pem /etc/purgeline/ca.pem")
        for command in commands(self.block):
            if "systemctl enable" in command:
                self.configure()
            self.obey(command)
            if "systemctl enable" in command:
                self.service.await_ready()

    def configure(self):
        """The edit of the configuration that the document asks for between two commands."""
        self.set("services", f"[{{id: {SERVICE}, name: news}}]")
        self.set("api", f"https://127.0.0.1:{API_PORT}")
        self.set("ca_file", "/etc/purgeline/ca.pem", indent="    ")  # of the account, not of redis_tls

    # -- the checks ----------------------------------------------------------------------------------

    def devices(self):
        """Switches PrivateDevices= off if this machine does not allow device nodes to be created."""
        probe = "systemd-run --quiet --wait --pipe --uid=nobody --property=PrivateDevices={} " \
                "bash -c ': </dev/zero >/dev/null'"
        if run(probe.format("yes"))[0] == 0:
            print("# PrivateDevices= is on, as the unit has it")
        elif run(probe.format("no"))[0] == 0:
            print("# PrivateDevices= is off: this machine does not allow device nodes to be created")
            write(f"{DROP_INS}/devices.conf", "[Service]\nPrivateDevices=no\n")

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
        """With a broken file, the reload fails and the old configuration stays in force."""
        good = read(SETTINGS)
        self.broken_reload("unknown-setting", f"{SETTINGS}:", lambda: write(SETTINGS, good + "no_such_setting: 1\n"))
        self.broken_reload("no-yaml", f"{SETTINGS}:", lambda: write(SETTINGS, "accounts: [\n"))
        write(SETTINGS, good)
        self.broken_reload("token-of-all", f"{TOKEN}: ", lambda: os.chmod(TOKEN, 0o666))
        os.chmod(TOKEN, 0o640)
        self.broken_reload("no-token", f"{TOKEN}: ", lambda: os.rename(TOKEN, f"{TOKEN}.away"))
        os.rename(f"{TOKEN}.away", TOKEN)
        code, said = run("systemctl reload purgeline")
        self.ok(code == 0, "after a repair of the files, a reload succeeds", said, self.service.journal())

    def broken_reload(self, name, reason, break_it):
        pid, cursor = self.service.pid(), self.service.cursor()
        break_it()
        code, said = run("systemctl reload purgeline")
        self.ok(code != 0, f"{name}: the reload fails", said)
        until("the journal has the reason", lambda: reason in self.service.journal(cursor))
        answer = self.post(name)
        self.ok(answer == "202" and self.service.is_active() and self.service.pid() == pid,
                f"{name}: the old configuration stays in force", answer, self.service.journal(cursor))
        self.fastly.await_purged(name)

    def broken_start(self):
        """With a mistake in the configuration, systemd does not start the service again."""
        good = read(SETTINGS)
        write(SETTINGS, good + "no_such_setting: 1\n")
        run("systemctl restart purgeline")
        until("the unit has failed", lambda: self.service.show("ActiveState") == "failed")
        ended = [self.service.show(name) for name in ("Result", "ExecMainStatus", "NRestarts")]
        self.ok(ended == ["exit-code", "2", "0"], "with an unknown setting it is started only once", ended)
        write(SETTINGS, good)
        output("systemctl start purgeline")
        self.service.await_ready()

    def token(self):
        """Fastly accepts only a new token; jobs that are pushed before purgeline has it are kept."""
        pid = self.service.pid()
        self.new_token()
        self.push("before-the-new-token")
        why = self.service.await_unready("refuses the token")
        self.ok(True, "with a token that is not valid any more, /readyz answers 503", why)
        self.status_says(1, "NOT SENDING")
        for command in self.point("**A new token**: "):
            self.obey(command)
        self.fastly.await_purged("before-the-new-token")
        self.ok(self.service.pid() == pid, "the same daemon sends it with the new one")
        self.service.await_ready()
        self.status_says(0, "healthy")

    def status_says(self, wanted, words):
        """Waits for these words, because the leader publishes its status only from time to time."""
        said = until(f"purgeline status says {words}", lambda: self.status(words))
        self.ok(said[0] == wanted, f"purgeline status says {words} and exits with {wanted}", *said)

    def status(self, words):
        code, said = run(f"{self.redis} purgeline status")
        return (code, said) if words in said else None

    def frozen(self):
        """A process that hangs is replaced. The watchdog's time is short here."""
        until("the sentence of systemctl status", lambda: self.service.show("StatusText") == "Dispatching")
        self.ok(True, "systemctl status says that it dispatches")
        write(f"{DROP_INS}/watchdog.conf", "[Service]\nWatchdogSec=10\n")
        output("systemctl daemon-reload && systemctl restart purgeline")
        self.service.await_ready()
        before = self.service.pid()
        os.kill(before, signal.SIGSTOP)
        until("systemd replaces it", lambda: self.service.is_active() and self.service.pid() not in (0, before))
        said = self.service.journal()
        self.ok("Watchdog timeout" in said, "a frozen daemon is replaced by systemd's watchdog", said[-2000:])
        self.service.await_ready()
        os.unlink(f"{DROP_INS}/watchdog.conf")
        output("systemctl daemon-reload && systemctl restart purgeline")
        self.service.await_ready()

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
        """Starts an outage of Fastly, and pushes jobs, which have to wait."""
        keys = [f"{name}-{i}" for i in range(50)]
        self.fastly.fault("status=503")
        self.push(*keys)
        until("Fastly has refused one", lambda: any(r["status"] == 503 and keys[0] in r.get("keys", ())
                                                for r in self.fastly.requests()))
        self.ok(not set(keys) & self.fastly.purged(), "during an outage of Fastly, jobs wait")
        return keys

    def end_of_outage(self, keys, sentence):
        self.fastly.fault("status=0")
        self.fastly.await_purged(*keys)
        self.ok(True, sentence)

    def upgrade(self):
        keys = self.backlog("upgraded")
        before = self.service.pid()
        newer = self.build_next_version()
        self.obey(self.line("/usr/local/bin/purgeline"))
        cursor = self.service.cursor()
        for command in self.point("**Upgrade**: "):
            self.obey(command)
        self.service.await_ready()
        said = self.service.journal(cursor)
        self.ok(self.service.pid() != before and '"purgeline has stopped" code=0' in said, "the old version ends",
                said)
        self.ok(f'"purgeline is starting" version={newer}' in said, "the new version runs", said)
        self.end_of_outage(keys, "the new one sends the backlog of the old one")

    def build_next_version(self):
        """Changes the version number inside the program. The build does not notice, because the file's time is kept."""
        version = output("purgeline --version").split()[1]
        newer = version[:-1] + str((int(version[-1]) + 1) % 10)
        linked = os.stat(PROGRAM)
        with open(PROGRAM, "rb") as program:
            code = program.read()
        with open(PROGRAM, "wb") as program:
            program.write(code.replace(version.encode(), newer.encode()))
        os.utime(PROGRAM, ns=(linked.st_atime_ns, linked.st_mtime_ns))
        return newer

    def stop(self):
        pids = output(f"cat /sys/fs/cgroup{self.service.show('ControlGroup')}/cgroup.procs").split()
        code, said = run("systemctl stop purgeline")
        self.ok(code == 0 and self.service.show("ActiveState") == "inactive", "it stops", said)
        results = [self.service.show(name) for name in ("Result", "ExecMainCode", "ExecMainStatus")]
        self.ok(results == ["success", "1", "0"], "it stops in time, with exit code 0", results)
        left = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
        self.ok(len(pids) > 1 and not left, "all its processes have ended, including Redis", pids, left)

    def own_redis(self):
        """Uses a Redis with a password, and then stops it for a while."""
        with open("/etc/redis/redis.conf", "a") as conf:
            conf.write(f"appendonly yes\nrequirepass {self.redis_password}\n")
        output("systemctl start redis-server")
        self.redis = f"PURGELINE_REDIS=redis://:{self.redis_password}@127.0.0.1:6379/0"
        write("/etc/purgeline/environment", self.redis + "\n", 0o600)
        output("systemctl restart purgeline")
        self.service.await_ready()
        keys = self.backlog("kept")
        pid = self.service.pid()
        output("systemctl stop redis-server")
        why = self.service.await_unready("Redis")
        self.ok(self.service.is_active() and self.service.pid() == pid, "without Redis the unit stays active", why)
        self.status_says(3, "Redis")
        answer = self.post("while-redis-is-away")
        self.ok(answer == "503", "without Redis no job is accepted", answer)
        output("systemctl start redis-server")
        self.service.await_ready()
        self.ok(self.service.pid() == pid, "when Redis is back, the same daemon continues")
        self.end_of_outage(keys, "nothing of what it had accepted is lost")
        self.push("after-redis-was-away")
        self.fastly.await_purged("after-redis-was-away")

    def dynamic_user(self):
        """Upgrades from an older unit, in which systemd created a dynamic user and copied the token."""
        output("systemctl stop purgeline && userdel purgeline && rm -rf /var/lib/purgeline /etc/purgeline/environment")
        output("chown root:root /etc/purgeline/token && chmod 600 /etc/purgeline/token")
        self.redis = ""
        older = read(UNIT_FILE).replace("User=purgeline\nGroup=purgeline\n", "DynamicUser=yes\n").replace(
            "_FILE=/etc/purgeline/token\n", "_FILE=%d/token\nLoadCredential=token:/etc/purgeline/token\n")
        write("/etc/systemd/system/purgeline.service", older)
        output("systemctl daemon-reload && systemctl start purgeline")
        self.service.await_ready()
        was = output("readlink /var/lib/purgeline").strip()
        self.ok(was == "private/purgeline", "an older unit has its folder in /var/lib/private", was)
        keys = self.backlog("older")
        stop, *rest = self.point("**Upgrade** from a unit with `DynamicUser=`: ")
        for command in (stop, self.line("systemd-sysusers"), self.line("deploy/purgeline.service"), *rest):
            self.obey(command)
        self.service.await_ready()
        owners = output("stat -c '%F %U' /var/lib/purgeline /var/lib/purgeline/redis.sock").split("\n")[:2]
        self.ok(owners == ["directory purgeline", "socket purgeline"], "its folder is that of the new user", owners)
        self.end_of_outage(keys, "and so is its backlog")

    def secrets(self):
        journal = output("journalctl --no-pager -o export")
        self.ok("purgeline is starting" in journal, "the journal has what the service said")
        for secret in [*self.tokens, self.redis_password]:
            lines = [line.replace(secret, "…") for line in journal.splitlines() if secret in line]
            self.ok(not lines, f"the journal does not have {secret[:6]}…", *lines)

    def exposure(self):
        """Rates the exposure of the unit as shipped, without the changes that this machine needs."""
        shutil.rmtree(DROP_INS, ignore_errors=True)
        code, said = run(f"systemd-analyze security --no-pager --offline=yes --threshold={int(EXPOSURE_MAX * 10)} "
                         f"{UNIT_FILE}")
        print("# " + said.strip().splitlines()[-1])
        self.ok(code == 0, f"systemd-analyze security finds an exposure of at most {EXPOSURE_MAX}",
                *(line for line in said.splitlines() if "✓" not in line))

    def all(self):
        self.devices()
        self.go_through(self.start, self.broken_file, self.broken_start, self.token, self.frozen, self.killed, self.upgrade,
                        self.stop, self.own_redis, self.dynamic_user)
        self.go_through(self.secrets)
        self.go_through(self.exposure)
        return self.score.close()

    def go_through(self, *checks):
        """Runs checks that depend on each other: each starts with the state that the previous one left. Stops at the
        first one that cannot be finished."""
        for check in checks:
            try:
                check()
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as wrong:
                self.ok(False, f"{check.__name__} and the checks after it can be finished", wrong,
                        self.service.journal())
                return


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(Checks().all())
