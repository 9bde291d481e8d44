# SPDX-License-Identifier: MIT
"""deploy/Dockerfile, built by Buildah. The Debian that it starts from is made here, because no registry can be reached."""
import hashlib
import json
import os
import stat
import subprocess

from podman import IMAGE, LOCKED
from stage import ROOT, until

NAME = "localhost/purgeline:dockerfile"


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout.decode()


def release():
    """("12", "bookworm")"""
    with open("/etc/os-release") as text:
        fields = dict(line.rstrip().split("=", 1) for line in text if "=" in line)
    return fields["VERSION_ID"].strip('"'), fields["VERSION_CODENAME"]


def make_base():
    """What docker.io/library/debian has, from the archive that apt uses here."""
    version, codename = release()
    sources = run("apt-get", "indextargets", "--format", "deb $(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    sources = "".join(f"{line}\n" for line in sorted(set(sources.splitlines())) if "/debian" in line)
    run("mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates", codename, "base.tar", "-", input=sources.encode())
    run("podman", "import", "--quiet", "base.tar", f"docker.io/library/debian:{version}-slim")
    os.remove("base.tar")
    return version


def build(label):
    """Only compiling is left out: the packages are those that deploy/package has built with the same commands."""
    make_base()
    time = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    arguments = {"DEBIAN": release()[0], "SOURCE_DATE_EPOCH": time, "VERSION": label("version"), "REVISION": label("revision")}
    run("buildah", "bud", "--quiet", "--format", "docker", "--pull=never", "--network", "host", "--tag", NAME,
        *[word for one in arguments.items() for word in ("--build-arg", "=".join(one))],
        "--build-context", f"debs={ROOT}/build/packages", "--file", f"{ROOT}/deploy/Dockerfile", ROOT)


def files(image):
    """Path -> type, mode, owner and contents of each file."""
    found, root = {}, run("podman", "image", "mount", image).strip()
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            contents = os.readlink(path) if stat.S_ISLNK(info.st_mode) else None
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as data:
                    contents = hashlib.sha256(data.read()).hexdigest()
            found[os.path.relpath(path, root)] = (info.st_mode, info.st_uid, info.st_gid, int(info.st_mtime), contents)
    run("podman", "image", "unmount", image)
    return found


def configuration(image):
    config = json.loads(run("podman", "image", "inspect", image))[0]["Config"]
    config["Labels"] = {name: value for name, value in config["Labels"].items()
                        if "buildah" not in name and not name.endswith(".created")}
    config.pop("Healthcheck", None)   # Podman does not read it from an OCI image
    return config


def check_image(ok):
    ours, theirs = files(IMAGE), files(NAME)
    differ = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
    ok(len(ours) > 300 and differ == [], "Dockerfile: its image has the same files as that of deploy/image", differ[:10])
    ours, theirs = configuration(IMAGE), configuration(NAME)
    ok(ours == theirs, "Dockerfile: and the same configuration", ours, theirs)


def check_health(ok, th):
    """The health check that stands in the image."""
    folder = th.configure()
    th.must_podman(f"run --detach --name checked {LOCKED} -v {folder}:/etc/purgeline:ro -v checked:/var/lib/purgeline {NAME}")
    until("Podman's health check passes", lambda: th.podman("healthcheck run checked")[0] == 0)
    th.fault("unauthorized=1")
    th.push("article-1")
    until("it fails", lambda: th.podman("healthcheck run checked")[0] == 1)
    ok(True, "Dockerfile: its health check passes, and fails when Fastly refuses the token")
