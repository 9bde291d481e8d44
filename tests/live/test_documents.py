#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every shell command in the documents, unchanged.

DECIDED lists them all: the test fails if a command is missing there, or no longer in the document. Values that a
reader would fill in (a token, a folder of the system, the port) are replaced as listed in self.places.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import PURGELINE, ROOT, SERVICE, Score, Stage, ask, free_port, skip_without, until  # noqa: E402

RUN = "run"                  # must succeed; if there is a pattern, the output must match it
DAEMON = "daemon"            # runs in the background from here on
NO = "no"                    # not run, for the given reason
MOVES = (NO, "test_redis_moves.py moves jobs with it, on this machine")
SENTINEL = (NO, "for Redis servers with replicas; test_sentinel.py runs it")
CLUSTER = (NO, "test_cluster.py moves jobs with it, on this machine")
CONSUMER = (NO, "test_consume.py runs it with a queue")
CONTAINER = (NO, "tests/container runs it")
CLUSTERED = (NO, "needs a Kubernetes cluster; tests/container renders the manifests and runs their Pods")
BROKER = (NO, "test_brokers.py runs it with a real broker")

DECIDED = {
    "README.md": {
        "deploy/quickstart": (RUN, "All of it held"),
        "tests/run": (NO, "this test is part of it"),
        "tests/run --all": (NO, "this test is part of it"),
        "export FASTLY_API_TOKEN=… FASTLY_SERVICE_ID=SU1Z0isxPaozGVKXdv0eY PATH=$PATH:$PWD/build/release": (RUN,),
        "purgeline run": (DAEMON,),
        "purgeline push --wait article-17 home 'https://www.example.com/path?x=1'": (RUN, "purged"),
        "purgeline status": (RUN, "main"),
        """curl -d '{"keys":["article-17","home"]}' http://127.0.0.1:8126/v1/purge""": (RUN, '"job":"normal-'),
        "curl -X POST -H 'Surrogate-Key: article-17 home' "
        "http://127.0.0.1:8126/service/SU1Z0isxPaozGVKXdv0eY/purge": (RUN, '"article-17"'),
        """redis-cli -s "$HOME/.local/state/purgeline/redis.sock" \\""": (RUN, r"^\d+-\d+$"),
        "export FASTLY_API_ENDPOINT=http://127.0.0.1:8126 FASTLY_ACCOUNT_ENDPOINT=http://127.0.0.1:8126": (RUN,),
        "export FASTLY_API_URL=http://127.0.0.1:8126": (RUN,),
        "FASTLY_API_TOKEN=… fastly service purge --key article-17 --service-id SU1Z0isxPaozGVKXdv0eY":
            (NO, "Fastly's CLI is not in Debian; tests/live/clients/cli.sh runs it where there is one"),
    },
    "deploy/README.md": {
        "deploy/install-packages --build --package && deploy/package": (NO, "tests/systemd builds the packages"),
        "deploy/install-packages --build --package --image && deploy/image": CONTAINER,
        "podman load --input build/image/purgeline-*.oci.tar": CONTAINER,
        "install -D -m 640 -g 65532 /path/to/token /etc/purgeline/token": CONTAINER,
        "podman run --detach --name purgeline --network host --read-only --cap-drop all --stop-timeout 60 \\": CONTAINER,
        "podman exec purgeline purgeline check": CONTAINER,
        "podman exec purgeline purgeline push --wait article-17": CONTAINER,
        "(cd deploy/kubernetes/single && kustomize edit set image localhost/purgeline=registry.example.com/purgeline:0.1.0)": CLUSTERED,
        "kubectl create namespace purgeline && kubectl label namespace purgeline pod-security.kubernetes.io/enforce=restricted":
            CLUSTERED,
        "kubectl --namespace purgeline create secret generic purgeline --from-file=token=/path/to/token "
        "--from-file=prometheus-token=/path/to/token2": CLUSTERED,
        "kubectl --namespace purgeline apply --kustomize deploy/kubernetes/single": CLUSTERED,
        "kubectl --namespace purgeline exec statefulset/purgeline -- purgeline check": CLUSTERED,
        "kubectl --namespace purgeline exec statefulset/purgeline -- purgeline push --wait article-17": CLUSTERED,
        "apt install ./build/packages/purgeline_*.deb": (NO, "tests/systemd installs them on a machine of its own"),
        "deploy/apt-repository --output /srv/apt --key apt@example.com --url https://apt.example.com build/packages":
            (NO, "test_apt_repository makes small ones, and tests/systemd installs the packages from one"),
        "deploy/install-packages --run --build": (RUN,),
        "cmake -S . -B build/release -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF": (RUN,),
        "ninja -C build/release purgeline && install -D build/release/purgeline /usr/local/bin/purgeline": (RUN,),
        "install -D -m 644 deploy/purgeline.yaml /etc/purgeline/purgeline.yaml": (RUN,),
        "echo 'u purgeline' | systemd-sysusers -":
            (NO, "makes a user of this machine; tests/systemd runs it in one of its own"),
        "install -D -m 640 -g purgeline /path/to/token /etc/purgeline/token": (RUN,),
        "install -m 644 deploy/purgeline.service /etc/systemd/system/": (RUN,),
        "systemctl daemon-reload && systemctl enable --now purgeline":
            (DAEMON, "it wants systemd as process 1, as tests/systemd has it; what the unit runs is run",
             "PURGELINE_TOKEN_FILE=/etc/purgeline/token exec purgeline run"),
        "PURGELINE_TOKEN_FILE=/etc/purgeline/token purgeline check": (RUN,),
        "purgeline push --wait article-17": (RUN, "purged"),
    },
    "deploy/redis.md": {
        "redis-cli CONFIG SET min-replicas-to-write 1": SENTINEL,
        "redis-cli CONFIG SET min-replicas-max-lag 10": SENTINEL,
        "systemctl stop purgeline": CLUSTER,
        "redis-cli --cluster import h1:6379 --cluster-from old:6379": CLUSTER,
        "redis-cli -h old DBSIZE": CLUSTER,
        "systemctl stop purgeline redis-server": MOVES,
        "cp -a /var/lib/purgeline/appendonlydir /var/lib/redis/": MOVES,
        "chown -R redis:redis /var/lib/redis/appendonlydir": MOVES,
        "systemctl start redis-server": MOVES,
        "redis-cli -h new REPLICAOF old 6379": MOVES,
        "redis-cli -h new INFO replication": MOVES,
        "redis-cli -h old FAILOVER TO new 6379 TIMEOUT 10000": MOVES,
        "redis-cli -h new ROLE": MOVES,
    },
    "deploy/consumers.md": {
        "deploy/quickstart consume": (RUN, "All of it held"),
        "purgeline consume --dry-run --from messages.txt articles": CONSUMER,
        "purgeline check": CONSUMER,
        "purgeline consume articles": CONSUMER,
    },
    "deploy/examples/README.md": {
        "kcat -b broker -G purges -X auto.offset.reset=earliest -q -u changes | purgeline push --json -": BROKER,
        "from=$(cat offset 2>/dev/null || kcat -b broker -Q -t changes:0:-2 | sed 's/.* //')": BROKER,
        """kcat -b broker -C -t changes -p 0 -o "$from" -X auto.offset.reset=error -q -u | purgeline push --json - |""":
            BROKER,
        "amqp-declare-queue --url amqp://broker -d -q purges-dead": BROKER,
        "amqp-consume --url amqp://broker -q purges -p 1 -- sh -c '": BROKER,
        "rabbitmqctl set_policy purges '^purges$' "
        """'{"dead-letter-exchange": "", "dead-letter-routing-key": "purges-dead"}' --apply-to queues""": BROKER,
    },
    "deploy/hooks/README.md": {
        """body='{"ref": "refs/heads/main", "repository": {"name": "docs"}, """
        """"commits": [{"modified": ["a.html"]}]}'""": (RUN,),
        """digest=$(printf %s "$body" | openssl dgst -sha256 -hmac """
        """"$(cat /etc/purgeline/github-secret)" -r | cut -d' ' -f1)""": (RUN,),
        """curl -i -d "$body" -H 'Content-Type: application/json' -H 'X-GitHub-Event: push' \\""": (RUN, "HTTP/1.1 202"),
    },
    "deploy/sandbox/README.md": {
        "apt install nginx-light libnginx-mod-http-lua varnish varnish-modules openssl curl":
            (NO, "changes the machine; the same are in install-packages --sandbox"),
        "deploy/sandbox/sandbox up --dir /tmp/sbx && . /tmp/sbx/env": (RUN,),
        "curl $SANDBOX_SITE/article/17": (RUN, "version [12]"),
        """curl --cacert $SANDBOX_CA -H "Fastly-Key: $SANDBOX_TOKEN" -X POST \\""": (RUN, '"article-17"'),
        "deploy/sandbox/sandbox fault --dir /tmp/sbx throttle=1 count=3 retry_after=2": (RUN,),
        "tail -f $SANDBOX_LOG": (NO, "does not end"),
        "deploy/sandbox/sandbox down --dir /tmp/sbx": (RUN,),
    },
    "deploy/man/purgeline.1": {
        "purgeline push article-17 https://www.example.com/path?x=1": (RUN,),
        "purgeline push --wait=10s article-17 && echo it is fresh": (RUN, "it is fresh"),
        "redis-cli -s /var/lib/purgeline/redis.sock "
        "XADD 'purgeline:{main}:jobs:normal' '*' keys 'article-17 home'": (RUN, r"^\d+-\d+$"),
    },
}


def blocks(document):
    """The shell commands in a document: the text of each fenced block, or of a manual's examples."""
    with open(os.path.join(ROOT, document)) as page:
        text = page.read()
    if document.endswith(".md"):
        return re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    examples = re.search(r"^\.SH EXAMPLES\n\.nf\n(.*?)^\.fi$", text, re.M | re.S).group(1)
    return [examples.replace("\\-", "-").replace("\\e", "\\")]


def is_whole(command):
    if command.endswith(("\\", "|", "&&")):
        return False
    return subprocess.run(["bash", "-n"], input=command.encode(), stderr=subprocess.DEVNULL).returncode == 0


def commands(block):
    """Yields each command of a block, without comments."""
    lines = []
    for line in block.splitlines():
        line = re.sub(r"(^|\s+)# .*$", "", line).rstrip()
        if not line and not lines:
            continue
        lines.append(line)
        if is_whole("\n".join(lines)):
            yield "\n".join(lines)
            lines = []
    if lines:
        raise AssertionError("a command that does not end: " + "\n".join(lines))


class Shell:
    """The shell for a document. It is the same for all commands, so variables keep their values."""

    def __init__(self, stage, folder):
        self.stage = stage
        self.bash = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder,
                                     env=stage.env, text=True, bufsize=1)

    def run(self, command):
        script = self.stage.write("command", command + "\n")
        out = self.stage.path("output")
        self.bash.stdin.write(f". '{script}' >'{out}' 2>&1 </dev/null; echo $?\n")
        code = int(self.bash.stdout.readline() or -1)
        with open(out, errors="replace") as text:
            return code, text.read()

    def daemon(self, command):
        command = command if "exec " in command else "exec " + command
        script = self.stage.write("daemon", command + "\n")
        log = self.stage.path("daemon.log")
        self.bash.stdin.write(f"bash '{script}' >'{log}' 2>&1 </dev/null & echo $!\n")
        return int(self.bash.stdout.readline())

    def close(self, daemon):
        if daemon:
            self.bash.stdin.write(f"kill {daemon}; wait {daemon}\n")
        self.bash.stdin.close()
        self.bash.wait()
        self.bash.stdout.close()


class Reading:
    """Runs the commands of one document, from the first to the last."""

    def __init__(self, score, document):
        self.score, self.document = score, document
        self.stage = Stage()
        self.pid = 0
        self.port = free_port()
        stage = self.stage
        stage.fastly()
        stage.env.update(
            PURGELINE_LISTEN=f"127.0.0.1:{self.port}", PURGELINE_DATA_DIR=stage.path(".local/state/purgeline"),
            FASTLY_SERVICE_ID=SERVICE)
        if document != "README.md":
            stage.env["FASTLY_API_TOKEN"] = "right-token"
        stage.write("token", "right-token\n", 0o600)
        stage.write("etc/purgeline/github-secret", "a long random text\n", 0o600)
        os.makedirs(stage.path("etc/systemd/system"))
        self.places = {
            "FASTLY_API_TOKEN=…": "FASTLY_API_TOKEN=right-token",
            "127.0.0.1:8126": f"127.0.0.1:{self.port}",
            "/path/to/token": stage.path("token"),
            " -g purgeline ": " ",
            "/etc/": stage.path("etc/"),
            "/usr/local/": stage.path("usr/local/"),
            "/tmp/sbx": stage.path("sbx"),
            "/var/lib/purgeline/": stage.path(".local/state/purgeline/"),
        }

    def filled_in(self, command):
        for place, what in self.places.items():
            command = command.replace(place, what)
        return command

    def configure(self):
        """Does what the document expects its reader to have done before."""
        if self.document == "deploy/README.md":
            self.stage.env["PURGELINE_CONFIG"] = self.stage.path("etc/purgeline/purgeline.yaml")
            del self.stage.env["FASTLY_API_TOKEN"]
        if self.document == "deploy/hooks/README.md":
            with open(os.path.join(ROOT, "deploy/hooks/github.yaml")) as hook:
                self.stage.env["PURGELINE_CONFIG"] = self.stage.write("hooks.yaml", self.filled_in(hook.read()))

    def await_daemon(self):
        until("the daemon is ready", lambda: ask(f"http://127.0.0.1:{self.port}/readyz")[0] == 200)

    def read(self):
        decided = dict(DECIDED[self.document])
        self.configure()
        in_checkout = self.document != "deploy/man/purgeline.1"
        shell = Shell(self.stage, ROOT if in_checkout else self.stage.dir)
        kinds = {what[0] for what in decided.values()}
        if RUN in kinds and DAEMON not in kinds and "sandbox" not in self.document:
            self.pid = shell.daemon("purgeline run")
            self.await_daemon()
        try:
            seen = set()
            for command in (c for block in blocks(self.document) for c in commands(block)):
                first = command.split("\n")[0]
                seen.add(first)
                if first in decided:
                    self.obey(shell, command, *decided[first])
                else:
                    self.score.ok(False, f"{self.document}: every command is in DECIDED: {first}",
                                  "add the command to DECIDED")
            for line in sorted(set(decided) - seen):
                self.score.ok(False, f"{self.document}: still has the command: {line}")
        finally:
            shell.close(self.pid)
            self.stage.close()

    def obey(self, shell, command, what, *more):
        name = f"{self.document}: {command.splitlines()[0]}"
        if what == NO:
            print(f"#   not run, {more[0]}: {name}")
        elif what == DAEMON:
            self.pid = shell.daemon(self.filled_in(more[1] if more else command))
            self.await_daemon()
        else:
            code, output = shell.run(self.filled_in(command))
            fits = not more or re.search(more[0], output, re.M)
            self.score.ok(code == 0 and fits, name, f"exit code {code}", f"wanted {more}", output)
            if command.startswith("redis-cli"):
                self.await_receipt(output.strip())

    def await_receipt(self, entry):
        """Checks that the job which was pushed with redis-cli went to the right Redis and has been purged."""
        get = f"redis-cli -s {self.stage.path('.local/state/purgeline/redis.sock')} GET " \
              f"'purgeline:{{main}}:receipt:normal-{entry}'"
        receipt = until("a receipt", lambda: self.stage.run(get)[1].strip())
        self.score.ok('"purged"' in receipt, f"{self.document}: what redis-cli pushed has been purged", receipt)


def inline_commands(score):
    """Checks that each `purgeline …` within a sentence is an existing command with existing options."""
    for document in DECIDED:
        with open(os.path.join(ROOT, document)) as page:
            spans = set(re.findall(r"`(?:[A-Z_]+=\S+ )?purgeline ([a-z][^`]*)`", page.read()))
        for span in sorted(spans):
            words = span.split()
            verb = [w for w in words if re.fullmatch("[a-z]+", w)][:2 if words[0] == "dead" else 1]
            done = subprocess.run([PURGELINE, *verb, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            strange = [w for w in words if w.startswith("--") and w not in done.stdout]
            score.ok(done.returncode == 0 and not strange, f"{document}: `purgeline {span}` exists",
                     strange, done.stdout)


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd", "curl", "openssl", "cmake", "ninja")
    score = Score()
    wanted = sys.argv[1:] or list(DECIDED)
    for document in wanted:
        Reading(score, document).read()
    inline_commands(score)
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
