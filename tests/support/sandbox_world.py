# SPDX-License-Identifier: MIT
"""What tests in the sandbox share: a stage with one daemon, questions to it, and visits of the sandbox's pages."""
import http.client
import json
import subprocess
import sys

from stage import PATIENCE_S, SERVICE, Score, Stage, ask, free_port, skip_without, until

NEVER_MS = 600000  # later than the end of any test
OLD_S = 3          # a copy must be so much older than its purge: Age is in whole seconds, at POP and shield


class SandboxWorld:
    """A sandbox, and the settings of a daemon for it in the environment. `daemon` is the name of its log."""
    daemon = "daemon"

    def __init__(self, *sandbox_options):
        self.score = Score()
        self.stage = Stage()
        self.stage.fastly(*sandbox_options)
        self.env = self.stage.env
        self.port = free_port()
        self.env.update(FASTLY_API_TOKEN="right-token")
        self.pops = [pop.removeprefix("http://") for pop in self.env.get("SANDBOX_POPS", "").split()]

    def settings_by_environment(self, **more):
        self.env.update(FASTLY_SERVICE_ID=SERVICE, PURGELINE_LISTEN=f"127.0.0.1:{self.port}",
                        PURGELINE_DATA_DIR=self.stage.path("data"), **more)

    def settings_by_file(self):
        """The file's text is up to the test. Returns what most of them need in it, for str.format."""
        for name in ("PURGELINE_API", "PURGELINE_CA_FILE"):
            del self.env[name]
        self.env["PURGELINE_CONFIG"] = self.stage.path("purgeline.yaml")
        return dict(data=self.stage.path("data"), port=self.port, api=self.env["SANDBOX_API"],
                    ca=self.env["SANDBOX_CA"], service=SERVICE, site=self.env["SANDBOX_SITE"])

    def close(self):
        self.stage.close()
        return self.score.close()

    def start_daemon(self, *words):
        self.stage.start(self.daemon, "purgeline", "run", *words)
        until("the daemon is ready", lambda: self.ask("/readyz")[0] == 200)

    def ok(self, *words):
        return self.score.ok(*words)

    def equal(self, found, wanted, sentence):
        return self.score.ok(found == wanted, sentence, f"got:  {found!r}", f"want: {wanted!r}")

    def fault(self, **values):
        """Sets faults of the sandbox (deploy/sandbox/README.md)."""
        return self.stage.sandbox("fault", *[f"{name}={value}" for name, value in values.items()])

    def ask(self, path):
        """Status and body of a GET request to the daemon."""
        return ask(f"http://127.0.0.1:{self.port}{path}")

    def metric(self, name, labels=""):
        wanted = f'{name}{{account="main"{labels}}} '
        for line in self.ask("/metrics")[1].splitlines():
            if line.startswith(wanted):
                return float(line.removeprefix(wanted))
        return 0

    def receipt(self, job):
        status, text = self.ask(f"/v1/jobs/{job}")
        return json.loads(text) if status == 200 else {}

    def ended(self, job):
        """Waits for the end of a job. Returns its receipt."""
        return until(f"{job} ends", lambda: (lambda r: r if r.get("state") not in ("waiting", None) else None)(
            self.receipt(job)))

    def log(self, *parts):
        """The lines of the daemon's log that contain all of these."""
        return [line for line in self.stage.log(self.daemon).splitlines() if all(part in line for part in parts)]

    def sandbox_log(self):
        """The requests that the sandbox has received."""
        with open(self.env["SANDBOX_LOG"]) as log:
            return [json.loads(line) for line in log if line.endswith("\n")]

    def visit(self, pop, path, method="GET"):
        """Fetches a page from a POP. Returns its Age in seconds."""
        line = http.client.HTTPConnection(pop, timeout=PATIENCE_S)
        try:
            line.request(method, path, headers={"Host": "www.example.com", "Accept-Encoding": "gzip"})
            reply = line.getresponse()
            reply.read()
            return int(reply.getheader("age") or 0)
        finally:
            line.close()

    def fill(self, *paths):
        """Waits until all POPs have an old copy of each page."""
        for pop in self.pops:
            for path in paths:
                self.visit(pop, path)
        for pop in self.pops:
            for path in paths:
                until("the copy is old", lambda pop=pop, path=path: self.visit(pop, path) >= OLD_S)

    def begin(self, *words):
        """Starts `purgeline push` with these arguments."""
        return subprocess.Popen(["purgeline", "push", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, cwd=self.stage.dir, env=self.env,
                                executable=self.stage.path("bin/purgeline"))


def play(world, tests, needs=("nginx", "varnishd", "redis-server", "curl", "openssl")):
    """Runs the tests in a new world, and ends the process with the exit code. Shows the log if one cannot go on."""
    skip_without(*needs)
    w = world()
    try:
        for test in tests:
            print(f"# {test.__name__}", flush=True)
            test(w)
    except (AssertionError, subprocess.SubprocessError):
        if w.daemon in w.stage.children:
            print(w.stage.log(w.daemon)[-6000:], w.stage.run("purgeline status --json")[1][-3000:])
        raise
    finally:
        code = w.close()
    sys.exit(code)
