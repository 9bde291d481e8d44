# SPDX-License-Identifier: MIT
"""The program of the release before this one, built from this repository's history: see tests/previous_release."""
import fcntl
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


def previous_release():
    """Its version and its commit."""
    with open(os.path.join(ROOT, "tests", "previous_release")) as lines:
        version, commit = next(line for line in lines if not line.startswith("#")).split()
    return version, commit


def left_out(why):
    print(f"skip - {why}")
    sys.exit(77)


def built(folder, commit, target):
    """Runs CMake and ninja in the folder; prints the end of their output if they fail."""
    log = os.path.join(folder, "log")
    command = f"""set -e
        mkdir -p {folder}/source
        git -C {ROOT} archive {commit} | tar -x -C {folder}/source
        cmake -S {folder}/source -B {folder}/build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF
        ninja -C {folder}/build {target}"""
    with open(log, "w") as out:
        done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    if done.returncode:
        with open(log) as text:
            raise AssertionError(f"the release before could not be built:\n{text.read()[-3000:]}")


def build_previous(target="purgeline"):
    """Builds a target of the release before this one, unless that was done before. Returns its version and the build folder.
    Ends this program with exit code 77 if the history has no such commit."""
    version, commit = previous_release()
    if subprocess.run(["git", "-C", ROOT, "cat-file", "-e", f"{commit}^{{commit}}"], stderr=subprocess.DEVNULL).returncode:
        left_out(f"the commit of version {version} is not in this repository: a shallow clone, or a copy without history")
    folder = os.path.join(ROOT, "build", "previous", commit[:12])
    os.makedirs(folder, exist_ok=True)
    done = os.path.join(folder, f"{target}.done")
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(done):
            built(folder, commit, target)
            with open(done, "w"):
                pass
    return version, os.path.join(folder, "build")
