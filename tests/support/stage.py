# SPDX-License-Identifier: MIT
"""A separate folder, sandbox and servers for a test, all on loopback. All of them end with the test."""
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PURGELINE = os.environ.get("PURGELINE_BIN") or os.path.join(ROOT, "build/asan/purgeline")
SERVICE = "SU1Z0isxPaozGVKXdv0eY"
PATIENCE_S = 60  # ten times as long as any step takes on an idle machine


RESERVED = []  # open sockets, until this process ends


def reserved(port):
    """Reserves the port among tests: an abstract Unix socket exists once per network namespace, as the port does."""
    s = socket.socket(socket.AF_UNIX)
    try:
        s.bind(f"\0purgeline-tests/port/{port}")
    except OSError:
        s.close()
        return False
    RESERVED.append(s)
    return True


def free_port():
    """An unused port, which no other test gets before this process ends. It is below the kernel's range of automatic
    ports, and below those of the sandbox."""
    while True:
        port = random.randrange(12000, 20000)
        if not reserved(port):
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def ask(url, timeout=10):
    """Status and body of a GET request; (0, reason) if there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as away:
        return 0, str(away)


def until(what, condition, patience_s=PATIENCE_S):
    """Calls the condition again and again until its result is true, and returns the result."""
    end = time.monotonic() + patience_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.05)


class Stage:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="purgeline-stage-")
        self.bin = self.path("bin")
        os.mkdir(self.bin)
        os.symlink(PURGELINE, self.path("bin/purgeline"))
        self.children = {}
        self.on = []  # words before the command that starts the sandbox
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith(("PURGELINE_", "FASTLY_", "XDG_")) and "proxy" not in name.lower()}
        self.env.update(HOME=self.dir, PATH=f"{self.bin}:{os.environ['PATH']}:/usr/sbin:/sbin", LC_ALL="C.UTF-8")

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as out:
            out.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def program(self, name, script):
        """Creates a program that is found in PATH before those of the machine."""
        return self.write(f"bin/{name}", "#!/bin/bash\n" + script, 0o755)

    def start(self, name, *command, **more_env):
        with open(self.path(f"{name}.log"), "a") as log:
            self.children[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                env={**self.env, **more_env})
        return self.children[name]

    def until_up(self, name, answers):
        """Waits until answers() is true of the process; it must not end before. Its log is the evidence."""
        def condition():
            code = self.children[name].poll()
            if code is not None:
                raise AssertionError(f"{name} ended with {code}")
            return answers()
        try:
            until(f"{name} answers", condition)
        except AssertionError as never:
            raise AssertionError(f"{never}\n{self.log(name)[-3000:]}") from None

    def stop(self, name, kill=False):
        child = self.children.pop(name, None)
        if child and child.poll() is None:
            child.kill() if kill else child.terminate()
            try:
                child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def signal(self, name, number):
        self.children[name].send_signal(number)

    def log(self, name):
        with open(self.path(f"{name}.log"), errors="replace") as log:
            return log.read()

    def run(self, command, patience_s=PATIENCE_S):
        """Runs a shell command. Returns its exit code and output."""
        done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, cwd=self.dir, env=self.env, timeout=patience_s)
        return done.returncode, done.stdout.decode(errors="replace")

    def must(self, command, patience_s=PATIENCE_S):
        """The output of a shell command that must succeed."""
        code, told = self.run(command, patience_s)
        if code:
            raise AssertionError(f"{command}: {told}")
        return told

    def sandbox(self, command, *words):
        return subprocess.run([*self.on, f"{ROOT}/deploy/sandbox/sandbox", command, "--dir", self.path("sandbox"),
                               *words], check=True, stdout=subprocess.PIPE, env=self.env).stdout.decode()

    def fastly(self, *options):
        """Starts the sandbox. Its addresses are in the environment of all processes that are started later."""
        printed = self.sandbox("up", "--service", SERVICE, "--token", "right-token", *options)
        for line in printed.splitlines():
            name, _, value = line.partition("=")
            self.env[name] = value.strip("'\"")
        self.env.update(PURGELINE_API=self.env["SANDBOX_API"], PURGELINE_CA_FILE=self.env["SANDBOX_CA"])

    def close(self):
        for name in list(self.children)[::-1]:
            self.stop(name)
        subprocess.run([f"{ROOT}/deploy/sandbox/sandbox", "down", "--dir", self.path("sandbox")],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.env)
        shutil.rmtree(self.dir, ignore_errors=True)


class Score:
    """Prints and counts the results of the checks."""

    def __init__(self):
        self.passed = self.failed = 0

    def ok(self, good, sentence, *evidence):
        if good:
            self.passed += 1
            print(f"ok - {sentence}", flush=True)
            return True
        self.failed += 1
        print(f"not ok - {sentence}")
        for text in evidence:
            for line in str(text).splitlines()[-40:]:
                print(f"#   {line}")
        sys.stdout.flush()
        return False

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 0 if self.passed and not self.failed else 1


def play(checks, world, evidence=lambda world: ()):
    """Runs check(world, score) for each, closes the world, and returns the exit code. If one cannot go on, this is a failure,
    and so many texts of evidence are shown."""
    score = Score()
    try:
        for check in checks:
            check(world, score)
    except (AssertionError, KeyError, OSError, ValueError, subprocess.SubprocessError) as wrong:
        score.ok(False, "the test goes on", repr(wrong), *evidence(world))
    finally:
        world.close()
    return score.close()


def skip_without(*programs):
    for name in programs:
        if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            print(f"skip - {name} is not installed")
            sys.exit(77)
