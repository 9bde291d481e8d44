# SPDX-License-Identifier: MIT
"""deploy/compose.yaml: its services are started by Podman as the file says. All containers share the loopback network, on which
each service has an address of its own."""
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile

import yaml

from podman import IMAGE, SECRET, USER, import_image
from stage import ROOT, SERVICE, ask, until

ADDRESSES = {"purgeline": "10.89.0.3", "redis": "10.89.0.2", "prometheus": "10.89.0.4", "grafana": "10.89.0.5"}
HOSTS = " ".join(f"--add-host {name}:{address}" for name, address in ADDRESSES.items())
PURGELINE = f"http://{ADDRESSES['purgeline']}:8126"
IGNORED = {"build", "depends_on", "restart", "healthcheck", "stop_grace_period", "ports"}


def add_file(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755
    tar.addfile(info, io.BytesIO(data))


def add_folder(tar, name, owner):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o755, owner, owner
    tar.addfile(info)


def make_redis(th, name):
    """Debian's Redis under the name of the official image, with the same user and folder."""
    files = io.BytesIO(subprocess.run(["podman", "save", IMAGE], check=True, stdout=subprocess.PIPE).stdout)
    with tarfile.open(fileobj=files) as saved:
        layer = json.load(saved.extractfile("manifest.json"))[0]["Layers"][0]
        data = saved.extractfile(saved.getmember(layer).linkname or layer if saved.getmember(layer).issym() else layer).read()
    with open(th.path("redis.tar"), "wb") as out:
        out.write(data)
    with tarfile.open(th.path("redis.tar"), "a") as tar:
        add_folder(tar, "data", 999)
    import_image(th, "redis.tar", name, "ENV PATH=/usr/bin", "WORKDIR /data")


def make_prometheus(th, name):
    """Debian's Prometheus, likewise."""
    program = shutil.which("prometheus")
    needed = re.findall(r"(/\S+) \(0x", th.must(f"ldd {program}"))
    with tarfile.open(th.path("prometheus.tar"), "w") as tar:
        for path in needed:
            tar.add(os.path.realpath(path), path.lstrip("/"), recursive=False)
        tar.add(os.path.realpath(program), "bin/prometheus")
        add_file(tar, "etc/nsswitch.conf", b"hosts: files dns\n")
        add_folder(tar, "etc/prometheus", 0)
        add_folder(tar, "prometheus", 65534)
    import_image(th, "prometheus.tar", name, 'ENTRYPOINT ["/bin/prometheus"]')


class Compose:
    """The file, as docker-compose understands it, in a copy of deploy/."""

    def __init__(self, th):
        self.th = th
        shutil.copytree(f"{ROOT}/deploy", th.path("deploy"))
        th.env.update(FASTLY_SERVICE_ID=SERVICE, PURGELINE_IMAGE=IMAGE)
        th.write("token", SECRET + "\n", 0o600)
        th.must(f"cd deploy && install -m 640 -g {USER} ../token compose/fastly-token && echo secret >compose/grafana-password")
        self.file = yaml.safe_load(th.must("cd deploy && docker-compose --file compose.yaml config"))
        self.services = self.file["services"]

    def options(self, name):
        """For podman run. A key that is not known here is an error, so that nothing in the file goes untested."""
        service = dict(self.services[name])
        words = ["--name", name]
        for key, value in service.items():
            if key == "user":
                words += ["--user", value]
            elif key == "read_only":
                words += ["--read-only", "--read-only-tmpfs=false"] if value else []
            elif key in ("cap_drop", "security_opt", "tmpfs"):
                words += [w for one in value for w in (f"--{key.replace('_', '-')}", one.replace(":true", ""))]
            elif key == "environment":
                words += [w for one in value.items() for w in ("--env", "=".join(one))]
            elif key == "volumes":
                words += [w for one in value for w in ("--volume", self.named(one))]
            elif key == "secrets":
                words += [w for one in value for w in ("--volume", f"{self.file['secrets'][one['source']]['file']}:"
                                                       f"/run/secrets/{one['source']}:ro")]
            elif key not in IGNORED | {"image", "command"}:
                raise AssertionError(f"the checks do not know what {key} of {name} means")
        return words

    def named(self, volume):
        source, _, rest = volume.partition(":")
        return volume if source.startswith("/") else f"{self.file['volumes'][source]['name']}:{rest}"

    def start(self, name, more=""):
        service = self.services[name]
        words = shlex.join([*self.options(name)])
        self.th.must_podman(f"run --detach {HOSTS} {words} {more} {service['image']} {shlex.join(service.get('command', []))}")

    def healthy(self, name):
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD", test
        return self.th.podman(f"exec {name} {shlex.join(test[1:])}")

    def await_healthy(self, name):
        until(f"{name} is healthy", lambda: self.healthy(name)[0] == 0)


def check_file(ok, c):
    ports = [port for service in c.services.values() for port in service.get("ports", [])]
    ok(ports and all(str(port).startswith("127.0.0.1:") for port in ports), "compose: every port is for this machine only", ports)
    bound = [name for name, s in c.services.items() if not (s["read_only"] and s["cap_drop"] == ["ALL"] and s["user"][:2] != "0:")]
    ok(bound == [], "compose: every service has a user, a read-only root and no capability", bound)
    missing = [v for s in c.services.values() for v in s.get("volumes", [])
               if v.startswith("/") and not os.path.exists(v.split(":")[0])]
    ok(missing == [], "compose: all files that it mounts are there", missing)


def check_grafana(ok, c):
    """Debian has no Grafana, so this reads what it would read."""
    mounts = {v.split(":")[1]: v.split(":")[0] for v in c.services["grafana"]["volumes"] if v.startswith("/")}
    folder = "/etc/grafana/provisioning"
    source = yaml.safe_load(open(mounts[f"{folder}/datasources/purgeline.yaml"]))["datasources"][0]
    ok(source["type"] == "prometheus" and source["isDefault"] and source["url"] == "http://prometheus:9090"
       and "prometheus" in c.services, "compose: Grafana's data source is the Prometheus beside it", source)
    provider = yaml.safe_load(open(mounts[f"{folder}/dashboards/purgeline.yaml"]))["providers"][0]
    boards = [target for target in mounts if os.path.dirname(target) == provider["options"]["path"]]
    board = json.load(open(mounts[boards[0]]))
    kinds = {v["query"] for v in board["templating"]["list"] if v["type"] == "datasource"}
    ok(kinds == {"prometheus"}, "compose: its dashboard is where it looks for dashboards", boards, kinds)
    env = c.services["grafana"]["environment"]
    secrets = [s["source"] for s in c.services["grafana"]["secrets"]]
    ok(env["GF_SECURITY_ADMIN_PASSWORD__FILE"] in [f"/run/secrets/{s}" for s in secrets], "compose: its password is a file", env)


def check_prometheus(ok, c):
    base = f"http://{ADDRESSES['prometheus']}:9090/api/v1"

    def up():
        status, body = ask(f"{base}/targets")
        return status == 200 and [t["health"] for t in json.loads(body)["data"]["activeTargets"]] == ["up"]

    until("Prometheus has scraped purgeline", up, 150)  # it scrapes every 15 s
    ok(True, "compose: Prometheus reads the metrics")
    rules = json.loads(ask(f"{base}/rules")[1])["data"]["groups"]
    ok(rules and rules[0]["name"] == "purgeline" and len(rules[0]["rules"]) > 5, "compose: and has the alerts", rules)


def check(ok, th):
    """`ok` is Score.ok, `th` a Theatre with its sandbox."""
    c = Compose(th)
    check_file(ok, c)
    check_grafana(ok, c)
    make_redis(th, c.services["redis"]["image"])
    make_prometheus(th, c.services["prometheus"]["image"])
    th.account()
    sandbox = f"-e PURGELINE_API={th.env['SANDBOX_API']} -e PURGELINE_CA_FILE=/ca.pem -v {th.path('etc/ca.pem')}:/ca.pem:ro"
    c.start("redis")
    c.await_healthy("redis")
    ok(True, "compose: Redis is healthy")
    c.start("purgeline", sandbox)
    c.start("prometheus")
    c.await_healthy("purgeline")
    code, said = th.run(f"curl -sS -d '{{\"keys\":[\"article-17\"]}}' {PURGELINE}/v1/purge")
    th.await_purged("article-17")
    ok('"job"' in said, "compose: purgeline is healthy, and the push of its first lines purges", said)
    check_prometheus(ok, c)
    th.fault("throttle=1", "retry_after=3600")
    said = [th.run(f"curl -sS -d '{{\"keys\":[\"kept-{i}\"]}}' {PURGELINE}/v1/purge")[1] for i in range(5)]
    th.must_podman("kill redis")
    until("purgeline misses its Redis", lambda: c.healthy("purgeline")[0] == 1)
    ok(all('"job"' in one for one in said), "compose: without Redis purgeline is not healthy", said)
    th.must_podman("rm redis")
    th.must_podman("stop --time 60 purgeline")
    th.must_podman("rm purgeline")
    th.sandbox("reset")
    c.start("redis")
    c.start("purgeline", sandbox)
    th.await_purged(*[f"kept-{i}" for i in range(5)])
    ok(True, "compose: jobs outlive a Redis that is killed, and containers that are made again")
