# SPDX-License-Identifier: MIT
"""Containers of tests/container: one stage with a sandbox, whose network the containers share."""
import fcntl
import hashlib
import json
import os
import re
import shlex
import socket
import struct
import urllib.request

from stage import ROOT, SERVICE, Stage, until

with open(f"{ROOT}/CMakeLists.txt") as lists:
    VERSION = re.search(r"^project\(purgeline VERSION (\S+)", lists.read(), re.M)[1]
IMAGE = f"localhost/purgeline:{VERSION}"
USER = 65532
PRODUCER = "a-token-of-purgeline"
SECRET = "right-token"   # the one that Stage.fastly gives the sandbox
SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8914, 0x8916, 0x1
PODMAN_PATIENCE_S = 300  # podman stop may wait for a minute
DATA = "/var/lib/purgeline"
# More than a container has by default: no writable /tmp, no capability, no new privileges.
LOCKED = f"--read-only --read-only-tmpfs=false --user {USER} --cap-drop all --security-opt no-new-privileges"


def loopback_up():
    """Also gives it the addresses 10.0.0.0/8: https://man7.org/linux/man-pages/man7/netdevice.7.html"""
    with socket.socket() as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
        fcntl.ioctl(s, SIOCSIFADDR, struct.pack("16sH2x4s8x", b"lo:1", socket.AF_INET, socket.inet_aton("10.89.0.1")))


def import_image(th, archive, name, *changes):
    """Makes an image of an archive with the files of its root."""
    words = " ".join(f"--change {shlex.quote(change)}" for change in changes)
    th.must_podman(f"import --quiet {words} {th.path(archive)} {name}")


class Theatre(Stage):
    """A stage on which containers run."""

    def podman(self, words, patience_s=PODMAN_PATIENCE_S):
        return self.run(f"podman {words}", patience_s)

    def must_podman(self, words, patience_s=PODMAN_PATIENCE_S):
        return self.must(f"podman {words}", patience_s)

    def requests(self):
        with open(self.env["SANDBOX_LOG"]) as log:
            return [json.loads(line) for line in log]

    def purged(self):
        """The keys that Fastly has purged."""
        return {key for r in self.requests() if r["purged"] for key in r["keys"]}

    def await_purged(self, *keys):
        until(f"Fastly purges {' '.join(keys)}", lambda: set(keys) <= self.purged())

    def fault(self, *words):
        self.sandbox("fault", *words)

    def private(self, name, text):
        """A file that only root and the user of the containers can read."""
        path = self.write(name, text, 0o640)
        os.chown(path, 0, USER)
        return path

    def account(self):
        """What to say about the sandbox in the configuration of an account, whose folder is mounted at /etc/purgeline."""
        with open(self.env["SANDBOX_CA"]) as pem:
            self.write("etc/ca.pem", pem.read())
        return (f"    services: [{{id: {SERVICE}, name: news}}]\n    api: {self.env['SANDBOX_API']}\n"
                "    ca_file: /etc/purgeline/ca.pem\n")

    def configure(self, more=""):
        """Returns the folder to mount at /etc/purgeline."""
        digest = hashlib.sha256(PRODUCER.encode()).hexdigest()
        self.private("etc/token", SECRET + "\n")
        self.write("etc/purgeline.yaml", "listen: 0.0.0.0:8126\naccounts:\n  - name: main\n"
                   f"    token_file: /etc/purgeline/token\n{self.account()}{more}"
                   f"producers:\n  - {{name: cms, token_sha256: {digest}}}\n")
        return self.path("etc")

    def edit(self, name, pattern, text):
        """Replaces the only line that matches."""
        with open(self.path(name)) as file:
            old = file.read()
        new, count = re.subn(pattern, lambda _: text, old, flags=re.M)
        assert count == 1, (pattern, count)
        self.write(name, new)

    def ready(self, name):
        """Exit code and words of the health check."""
        return self.podman(f"exec {name} purgeline ready")

    def await_ready(self, name):
        until(f"{name} is ready", lambda: self.ready(name)[0] == 0)

    def await_unready(self, name, why):
        """Returns what the health check says."""
        return until(f"{name} is not ready: {why}",
                     lambda: (lambda said: said[0] == 1 and why in said[1] and said[1])(self.ready(name)))

    def logs(self, name):
        return self.podman(f"logs {name}")[1]

    def state(self, name):
        return json.loads(self.must_podman(f"container inspect {name}"))[0]["State"]

    def push(self, key, options=""):
        return self.run(f"curl -sS --max-time 30 -H 'Authorization: Bearer {PRODUCER}' {options} "
                        f"-d {shlex.quote(json.dumps({'keys': [key]}))} http://127.0.0.1:8126/v1/purge")

    def metric(self, name):
        """The sum of its samples; None without an answer."""
        asked = urllib.request.Request("http://127.0.0.1:8126/metrics", headers={"Authorization": f"Bearer {PRODUCER}"})
        try:
            with urllib.request.urlopen(asked, timeout=10) as reply:
                text = reply.read().decode()
        except OSError:
            return None
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (.*)$", text, re.M))

    def remove_all(self):
        self.podman("rm --all --force --time 0")
        self.podman("volume rm --all --force")

    def close(self):
        self.remove_all()
        super().close()
