#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the container image and what starts it, from inside the namespaces of tests/container."""
import ctypes
import filecmp
import glob
import json
import os
import re
import subprocess
import sys
import tarfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "live")]
import compose_checks  # noqa: E402
import dockerfile_checks  # noqa: E402
import kubernetes_checks  # noqa: E402
from podman import DATA, IMAGE, LOCKED, PRODUCER, SECRET, USER, Theatre, loopback_up  # noqa: E402
from stage import ROOT, SERVICE, Score, until  # noqa: E402
from test_documents import blocks, commands  # noqa: E402

DOCUMENT = "deploy/README.md"
CLONE_NEWNET = 0x40000000  # sched.h
COMPRESSED_MAX_BYTES = 60 * 10**6
BUILT = f"{ROOT}/build/image"
SBOM = "usr/share/sbom/purgeline.spdx.json"
LABEL = "org.opencontainers.image"
CONSUMERS = """consumers:
  - {name: p, source: postgres, url: "postgresql://127.0.0.1:1/x", topic: t, keys: ["a-{id}"]}
  - {name: a, source: amqp, url: "amqp://127.0.0.1:1", topic: t, keys: ["a-{id}"]}
  - {name: n, source: nats, url: "nats://127.0.0.1:1", topic: t, group: g, keys: ["a-{id}"]}
  - {name: k, source: kafka, url: "kafka://127.0.0.1:1", topic: t, group: g, keys: ["a-{id}"]}
"""
ELSEWHERE = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": "/nonexistent"}


def run(*command, **options):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options).stdout.decode()


def image_at(folder):
    found = glob.glob(f"{folder}/purgeline-*.oci.tar")
    assert len(found) == 1, found
    return found[0]


def build(folder=BUILT, **env):
    for old in glob.glob(f"{folder}/*"):
        os.remove(old)
    run(f"{ROOT}/deploy/image", "--packages", f"{ROOT}/build/packages", "--output", folder,
        env={**os.environ, **env})
    return image_at(folder)


class Image:
    """The archive of deploy/image, read without a container engine."""

    def __init__(self, path):
        with tarfile.open(path) as tar:
            self.blobs = {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}
        manifest = self.blob(json.loads(self.blobs["index.json"])["manifests"][0])
        self.config = self.blob(manifest["config"])
        self.bytes = sum(layer["size"] for layer in manifest["layers"])
        layer = manifest["layers"][0]["digest"].replace("sha256:", "blobs/sha256/")
        with open("layer.tar.gz", "wb") as out:
            out.write(self.blobs[layer])
        with tarfile.open("layer.tar.gz") as tar:
            self.members = {m.name: m for m in tar}
            self.sbom = json.load(tar.extractfile(SBOM))

    def blob(self, of):
        return json.loads(self.blobs[of["digest"].replace("sha256:", "blobs/sha256/")])


class Checks:
    def __init__(self, score):
        self.ok = score.ok
        self.theatre = None

    # -- the archive --

    def archive(self):
        image = Image(image_at(BUILT))
        self.ok(image.bytes <= COMPRESSED_MAX_BYTES, f"the image has {image.bytes / 1e6:.1f} MB, at most 60", image.bytes)
        said = json.loads(run("skopeo", "inspect", "--config", f"oci-archive:{image_at(BUILT)}"))
        self.ok(said["config"]["User"] == f"{USER}:{USER}", "its user is not root", said)
        labels = said["config"]["Labels"]
        names = ["title", "description", "version", "revision", "created", "licenses"]
        self.ok(all(labels.get(f"{LABEL}.{name}") for name in names), "it is labelled", labels)
        self.files(image)
        self.sbom(image)

    def files(self, image):
        foreign = {n: (m.uid, m.gid) for n, m in image.members.items() if m.uid or m.gid}
        self.ok(foreign == {DATA[1:]: (USER, USER)}, "all files are root's, but for the data folder", foreign)
        special = [n for n, m in image.members.items() if m.mode & 0o6000 or not (m.isreg() or m.isdir() or m.issym())]
        self.ok(special == [], "none is setuid or setgid, none is a device", special)
        loose = [n for n, m in image.members.items() if m.mode & 0o022 and not m.issym()]
        self.ok(loose == ["tmp"], "only /tmp can be written by others", loose)
        programs = {os.path.basename(n) for n, m in image.members.items()
                    if m.mode & 0o111 and not m.isdir() and os.path.dirname(n) in ("usr/bin", "usr/sbin")}
        expected = {"purgeline", "redis-server", "redis-cli", "redis-check-aof", "redis-check-rdb", "setpriv"}
        self.ok(programs == expected, "there is no shell, and no other program that nobody needs", programs ^ expected)

    def sbom(self, image):
        listed = {p["name"]: p for p in image.sbom["packages"] if "externalRefs" in p}
        here = {os.path.basename(n) for n, m in image.members.items() if n.startswith("var/lib/dpkg/status.d/") and m.isreg()}
        self.ok(here == set(listed) and "libc6" in here, "it lists its packages, as dpkg does", here ^ set(listed))
        bare = [name for name in listed if f"usr/share/doc/{name}/copyright" not in image.members
                and not image.members[f"usr/share/doc/{name}"].issym()]
        self.ok(bare == [], "each with its licence", bare)
        offered = re.findall(r"^(\S+):\n.*\n  Candidate: (\S+)$", run("apt-cache", "policy", *listed), re.M)
        wrong = [(name, version) for name, version in offered if not name.startswith("purgeline")
                 and listed[name]["versionInfo"] != version]
        self.ok(len(offered) > 30 and wrong == [], "and the versions are those that apt offers", wrong, offered)

    def twice(self):
        first = image_at(BUILT)
        second = build("again", **ELSEWHERE)
        same = filecmp.cmp(first, second, shallow=False)
        self.ok(same, "made again elsewhere, it is the same, bit for bit", first, second)

    # -- run by Podman --

    def start(self, name, options, image=IMAGE, command=""):
        return self.theatre.must_podman(f"run --detach --name {name} {LOCKED} {options} {image} {command}")

    def programs(self):
        th = self.theatre
        for program in ("purgeline", "redis-server", "redis-cli", "setpriv"):
            code, said = th.podman(f"run --rm {LOCKED} --entrypoint /usr/bin/{program} {IMAGE} --version")
            self.ok(code == 0, f"{program} runs", said)
        code, said = th.podman(f"run --rm {LOCKED} --entrypoint /bin/sh {IMAGE} -c :")
        self.ok(code != 0, "no shell does", said)

    def plugins(self):
        """A consumer of each kind can be loaded, with its libraries. There is no server."""
        th = self.theatre
        th.configure()
        with open(th.path("etc/purgeline.yaml"), "a") as settings:
            settings.write(CONSUMERS)
        code, said = th.podman(f"run --rm {LOCKED} -v {th.path('etc')}:/etc/purgeline:ro {IMAGE} check")
        tried = re.findall(r"consumer: . cannot read (\S+) t: .*conn", said, re.I)
        self.ok(sorted(tried) == ["amqp", "kafka", "nats", "postgres"], "consumers of all kinds are there", tried, said)

    def embedded(self):
        """With its own Redis on a volume."""
        th = self.theatre
        folder = th.configure()
        options = f"-v {folder}:/etc/purgeline:ro -v data:{DATA}"
        self.start("own", options)
        th.await_ready("own")
        code, said = th.podman("exec own purgeline push --wait article-1")
        self.ok(code == 0 and "article-1" in th.purged(), "with an embedded Redis, a push purges", said)
        code, said = th.push("article-2")
        th.await_purged("article-2")
        self.ok('"job"' in said, "a push over HTTP purges, too", said)
        status = th.must_podman("exec own /usr/bin/redis-cli -s /var/lib/purgeline/redis.sock CONFIG GET appendfsync")
        self.ok("always" in status, "its Redis writes before it confirms", status)
        self.health("own")
        self.drain("own", options)

    def health(self, name):
        th = self.theatre
        th.fault("unauthorized=1")
        th.push("article-3")
        said = th.await_unready(name, "refuses the token")
        self.ok("purgeline ready: " in said, "when Fastly refuses the token, the health check fails and says so", said)
        code, said = th.podman(f"exec {name} purgeline ready --live")
        self.ok(code == 0, "but it is alive", said)
        th.fault("unauthorized=0")
        th.must_podman(f"kill --signal HUP {name}")
        th.await_ready(name)
        th.await_purged("article-3")
        self.ok(True, "and is healthy again, and purges, when the token is accepted")
        shown = th.must_podman(f"inspect {name}") + th.logs(name)
        self.ok(SECRET not in shown and PRODUCER not in shown, "no token is shown by inspect or in the log", shown[-2000:])

    def drain(self, name, options):
        """Jobs are stopped in full flight, and the container is replaced."""
        th = self.theatre
        th.fault("latency_ms=6000")
        th.push("in-flight")
        until("its request is on its way", lambda: th.metric("purgeline_in_flight") == 1)
        for i in range(20):
            th.push(f"later-{i}")
        th.must_podman(f"stop --time 60 {name}")
        state = th.state(name)
        self.ok(state["ExitCode"] == 0, "SIGTERM ends it with 0", state, th.logs(name)[-2000:])
        done = [r for r in th.requests() if r["done"] is None or r["status"] == 499]
        self.ok(done == [], "after the requests in flight have been answered", done)
        th.fault("latency_ms=0")
        th.must_podman(f"rm {name}")
        self.start(name, options)
        th.await_purged("in-flight", *[f"later-{i}" for i in range(20)])
        self.ok(True, "a new container on the same volume purges the rest")
        th.remove_all()

    def external(self):
        """With a Redis outside, and nothing that can be written."""
        th = self.theatre
        folder = th.configure()
        th.start("redis", "redis-server", "--port", "6379", "--save", "", "--appendonly", "yes", "--dir", th.dir)
        self.start("outside", f"-v {folder}:/etc/purgeline:ro -e PURGELINE_REDIS=redis://127.0.0.1:6379")
        th.await_ready("outside")
        th.push("article-4")
        th.await_purged("article-4")
        self.ok(True, "with a Redis outside it needs no folder to write to")
        th.stop("redis")
        said = th.await_unready("outside", "Redis")
        self.ok(True, "without Redis the health check fails", said)
        self.ok(th.podman("exec outside purgeline ready --live")[0] == 0, "but it stays alive")
        th.start("redis", "redis-server", "--port", "6379", "--save", "", "--appendonly", "yes", "--dir", th.dir)
        th.await_ready("outside")
        th.stop("redis")
        th.remove_all()

    def documented(self):
        """The commands of the document, in a folder that stands for /etc/purgeline."""
        th = self.theatre
        block = next(block for block in blocks(DOCUMENT) if "podman run" in block)
        th.write("given", SECRET + "\n", 0o600)
        for command in commands(block):
            if command.startswith(("deploy/", "podman load")):
                continue   # it has been done
            command = command.replace("/path/to/token", th.path("given")).replace("/etc/purgeline/", th.path("etc/"), 1)
            if command.startswith("podman run"):
                th.account()
                th.edit("etc/purgeline.yaml", r"^    services: \[\]$", f"    services: [{{id: {SERVICE}, name: news}}]")
                command = command.replace("--detach", f"--detach --env PURGELINE_API={th.env['SANDBOX_API']} "
                                          "--env PURGELINE_CA_FILE=/etc/purgeline/ca.pem")
                command = command.replace(f"PURGELINE_TOKEN_FILE={th.path('etc/')}", "PURGELINE_TOKEN_FILE=/etc/purgeline/")
                command = command.replace("--volume /etc/purgeline:", f"--volume {th.path('etc')}:")
            elif command.startswith("podman exec"):
                th.await_ready("purgeline")
            code, said = th.run(f"cd {ROOT} && {command}")
            self.ok(code == 0, command.split("\n")[0], said)
        self.ok("article-17" in th.purged(), "the commands of the document purge")
        self.ok(th.podman("healthcheck run purgeline")[0] == 0, "and its health check passes")

    def mistakes(self):
        th = self.theatre
        folder = th.configure()
        code, said = th.podman(f"run --rm {LOCKED} -v {folder}:/etc/purgeline:ro {IMAGE}")
        self.ok(code == 1 and DATA in said, "without a volume its read-only folder is named", code, said)
        code, said = th.podman(f"run --rm {LOCKED} -e PURGELINE_LISTEN=0.0.0.0:8126 {IMAGE}")
        self.ok(code == 2 and "producers" in said, "listening to everybody without producers is a mistake", code, said)

    # -- the files that start it --

    def dockerfile(self):
        began = time.monotonic()
        try:
            dockerfile_checks.build(lambda name: Image(image_at(BUILT)).config["config"]["Labels"][f"{LABEL}.{name}"])
            dockerfile_checks.check_image(self.ok)
        except (AssertionError, subprocess.SubprocessError, OSError) as wrong:
            self.ok(False, "Dockerfile: it can be built", wrong)
        print(f"# dockerfile: {time.monotonic() - began:.1f} s", flush=True)

    def health_of_dockerfile(self):
        dockerfile_checks.check_health(self.ok, self.theatre)

    def kubernetes(self):
        began = time.monotonic()
        self.manifests = kubernetes_checks.check_files(self.ok)
        print(f"# kubernetes: {time.monotonic() - began:.1f} s", flush=True)

    def single(self):
        kubernetes_checks.run_single(self.ok, self.theatre, self.manifests["single"])

    def sentinel(self):
        kubernetes_checks.run_sentinel(self.ok, self.theatre, self.manifests["sentinel"])

    def compose(self):
        compose_checks.check(self.ok, self.theatre)

    # -- all --

    def play(self, *checks):
        """Each with a stage of its own."""
        for check in checks:
            began = time.monotonic()
            self.theatre = Theatre()
            os.chdir(self.theatre.dir)
            try:
                self.theatre.fastly()
                check()
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError, KeyError) as wrong:
                names = self.theatre.podman("ps --all --format '{{.Names}}'")[1].split()
                self.ok(False, f"{check.__name__} can be finished", wrong, *[self.theatre.logs(n)[-3000:] for n in names])
            os.chdir(ROOT)
            self.theatre.close()
            print(f"# {check.__name__}: {time.monotonic() - began:.1f} s", flush=True)


def separate_network():
    """What was needed from outside is there now."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    loopback_up()


def wants(wanted, group, check):
    return not wanted or group in wanted or check.__name__ in wanted


def main():
    wanted = sys.argv[1:]
    score = Score()
    checks = Checks(score)
    began = time.monotonic()
    path = build()
    print(f"# deploy/image: {time.monotonic() - began:.1f} s", flush=True)
    run("podman", "load", "--quiet", "--input", path)
    if wanted[:1] == ["--shell"]:
        separate_network()
        os.execvp(wanted[1], wanted[1:])
    os.chdir(os.environ["TMPDIR"])
    outside = [("image", checks.archive), ("image", checks.twice), ("dockerfile", checks.dockerfile),
               ("kubernetes", checks.kubernetes)]
    for _, check in [pair for pair in outside if wants(wanted, *pair)]:
        check()
    separate_network()
    inside = [("image", checks.programs), ("image", checks.embedded), ("image", checks.plugins), ("image", checks.external),
              ("image", checks.documented), ("image", checks.mistakes), ("dockerfile", checks.health_of_dockerfile),
              ("compose", checks.compose), ("kubernetes", checks.single), ("kubernetes", checks.sentinel)]
    checks.play(*[check for group, check in inside if wants(wanted, group, check)])
    print(f"{score.passed} passed, {score.failed} failed")
    return score.failed != 0


if __name__ == "__main__":
    sys.exit(main())
