# SPDX-License-Identifier: MIT
"""The set-up of a measurement: the cores, a fresh Redis, the sink, purgeline.

The measured program runs on core 0, everything else on core 1."""
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ACCOUNT = "bench"
SERVICE = "SU1Z0isxPaozGVKXdv0eY"
IN_FLIGHT = 64  # the default of max_in_flight
NO_LIMIT = 1000000000000
PR_SET_PDEATHSIG = 1
PATIENCE_S = 120

here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
root = os.path.dirname(here)
libc = ctypes.CDLL(None, use_errno=True)
cores = sorted(os.sched_getaffinity(0))


class Failed(Exception):
    """A measurement failed, with the reason."""


def pinned(core):
    """The function that a child process runs before exec. It pins the process to a core; None means all cores."""
    def prepare():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # ends with us, even if we are killed
        if core is not None:
            os.sched_setaffinity(0, {cores[core % len(cores)]})
    return prepare


def run(core, *command, **options):
    """Runs a program to its end and returns what it prints."""
    done = subprocess.run(command, preexec_fn=pinned(core), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=4 * PATIENCE_S, **options)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])} failed: {done.stderr.strip()[-600:]}")
    return done.stdout


def until(true, what, alive=None, every_s=0.01, patience_s=PATIENCE_S):
    """Waits until true() returns true. Fails when the process `alive` ends, or after patience_s."""
    end = time.monotonic() + patience_s
    while not true():
        if alive is not None and alive.process.poll() is not None:
            raise Failed(f"{alive.name} ended by itself: {alive.words()}")
        if time.monotonic() > end:
            raise Failed(f"waited in vain for {what}" + (f": {alive.words()}" if alive else ""))
        time.sleep(every_s)


def can_connect(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def build(*targets):
    """Builds build/release if necessary, and returns its path. Without targets: what bench/run needs."""
    folder, log = os.path.join(root, "build/release"), os.path.join(root, "build/bench.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "w") as f:
        for command in (["cmake", "-S", root, "-B", folder, "-G", "Ninja",
                         "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DBUILD_TESTING=OFF"],
                        ["ninja", "-C", folder, *(targets or ("purgeline", "bare_curl", "bench_load",
                                                              "bench_stopwatch", "bench_drain"))]):
            if subprocess.run(command, stdout=f, stderr=f).returncode != 0:
                with open(log) as words:
                    raise Failed("the build failed: " + words.read())
    return folder


class Server:
    """A program that runs until it is stopped. It is stopped by its process id."""

    def __init__(self, world, name, core, command, env=None, cwd=None, stdin=subprocess.DEVNULL, stdout=None):
        self.name = name
        self.log = os.path.join(world.dir, name + ".log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout or log,
                                            stderr=log, preexec_fn=pinned(core), cwd=cwd,
                                            env=dict(os.environ, **(env or {})))
        self.pid = self.process.pid
        self.world = world
        world.servers.append(self)

    def words(self):
        with open(self.log, errors="replace") as log:
            return log.read().strip()[-600:] or "it said nothing"

    def cpu_s(self):
        """Processor time of the whole process so far: clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.pid << 3) | 2)

    def status(self, name, otherwise=None):
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        if otherwise is None:
            raise Failed(f"{self.name} has no {name}")
        return otherwise

    def rss_mb(self):
        return self.status("VmRSS") / 1024

    def peak_mb(self):
        """The highest resident memory so far; 0 if the process has ended."""
        return self.status("VmHWM", 0) / 1024

    def wakeups(self):
        """The number of times that its threads slept and were woken."""
        n = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/status") as status:
                n += sum(int(line.split()[1]) for line in status
                         if line.startswith("voluntary_ctxt_switches"))
        return n

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self in self.world.servers:
            self.world.servers.remove(self)


class Redis:
    """A simple Redis client, for checks outside of the measured path."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) +
                            b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.answer()

    def answer(self):
        line = self.file.readline().rstrip()
        kind, rest = line[:1], line[1:]
        if kind in b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.answer() for _ in range(int(rest))]
        if kind == b"-":
            raise Failed("Redis: " + rest.decode())
        return rest


class World:
    def __init__(self, bin_dir, program=None):
        self.bin = bin_dir
        self.program = program or os.path.join(bin_dir, "purgeline")
        self.dir = tempfile.mkdtemp(prefix="purgeline-bench.")
        self.servers = []
        self.redis_path = os.path.join(self.dir, "redis.sock")
        self.redis_server = self.replica = None
        self.appendfsync = "everysec"
        self.replicated = False  # whether Redis gets a replica
        self.redis_replicas = 0  # the setting
        self.redis = None
        self.ports_taken = set()
        self.make_certificate()
        self.start_sink()

    def close(self):
        for server in reversed(list(self.servers)):
            server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def tool(self, name):
        return os.path.join(self.bin, "bench", name)

    def free_port(self):
        while True:
            port = random.randint(20000, 31999)
            if port in self.ports_taken:
                continue
            self.ports_taken.add(port)
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue

    # -- the sink --

    def make_certificate(self):
        run(None, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", self.path("sink.key"), "-out", self.path("sink.pem"))
        self.ca = self.path("sink.pem")

    def start_nginx(self, name, core):
        folder = self.path(name)
        os.makedirs(os.path.join(folder, "tmp"))
        port, plain = self.free_port(), self.free_port()
        with open(os.path.join(here, "sink.conf.in")) as template:
            text = template.read()
        for mark, value in (("USER", "user root;" if os.getuid() == 0 else ""), ("DIR", folder),
                            ("CERTIFICATE", self.path("sink")), ("HERE", here),
                            ("PORT", str(port)), ("PLAIN", str(plain))):
            text = text.replace(f"@{mark}@", value)
        conf = os.path.join(folder, "nginx.conf")
        with open(conf, "w") as f:
            f.write(text)
        server = Server(self, name, core, ["nginx", "-p", folder, "-e",
                                           os.path.join(folder, "error.log"), "-c", conf])
        until(lambda: os.path.exists(os.path.join(folder, "sink.sock")), name, server)
        return server, port, plain

    def start_sink(self):
        self.sink, self.port, self.plain_port = self.start_nginx("sink", 1)
        self.url = f"https://127.0.0.1:{self.port}"
        self.sink_socket = None
        self.questions = 0

    def from_sink(self, what):
        """Sends a request to the sink, over one connection that stays open because this is called often."""
        if self.sink_socket is None:
            self.sink_socket = socket.socket(socket.AF_UNIX)
            self.sink_socket.connect(self.path("sink/sink.sock"))
            self.sink_file = self.sink_socket.makefile("rb")
        self.questions += what != "requests"
        self.sink_socket.sendall(f"GET /{what} HTTP/1.1\r\nHost: sink\r\n\r\n".encode())
        self.sink_file.readline()
        headers = {}
        while True:
            line = self.sink_file.readline().strip().lower()
            if not line:
                break
            name, _, value = line.partition(b":")
            headers[name] = value.strip()
        if b"content-length" in headers:
            return self.sink_file.read(int(headers[b"content-length"])).decode()
        body = b""
        while True:
            size = int(self.sink_file.readline(), 16)
            body += self.sink_file.read(size + 2)[:size]
            if size == 0:
                return body.decode()

    def purges_seen(self):
        """The number of requests that the sink has received since it was started, without our own queries."""
        self.questions += 1
        return int(self.from_sink("requests").split()[9]) - self.questions

    # -- Redis --

    def start_redis(self, *options):
        """Starts a fresh Redis with an append-only file, like the embedded one, but without rewrites of the file. It is
        flushed every second, the usual setting, unless self.appendfsync says otherwise."""
        self.stop_redis()
        folder = self.path("redis")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        self.redis_port = self.free_port()
        self.redis_server = Server(self, "redis-server", 1, [
            "redis-server", "--bind", "127.0.0.1", "--port", str(self.redis_port),
            "--unixsocket", self.redis_path, "--dir", folder, "--appendonly", "yes", "--save", "",
            "--appendfsync", self.appendfsync,
            "--auto-aof-rewrite-percentage", "0", *options])

        def answers():
            try:
                self.redis = Redis(self.redis_path)
                return self.redis.ask("PING") == b"PONG"
            except (OSError, Failed):
                return False
        until(answers, "Redis", self.redis_server)
        self.replica = self.start_replica(*options) if self.replicated else None

    def start_replica(self, *options):
        folder = self.path("replica")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        self.redis.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        replica = Server(self, "replica", 1, [
            "redis-server", "--bind", "127.0.0.1", "--port", str(self.free_port()), "--dir", folder,
            "--replicaof", "127.0.0.1", str(self.redis_port), "--appendonly", "yes", "--save", "",
            "--appendfsync", self.appendfsync, "--auto-aof-rewrite-percentage", "0", *options])
        until(lambda: b"state=online" in self.redis.ask("INFO", "replication"), "the replica", replica)
        return replica

    def stop_redis(self):
        if self.redis_server:
            if self.replica:
                self.replica.stop(signal.SIGKILL)
            self.redis_server.stop(signal.SIGKILL)  # it need not save anything
            if os.path.exists(self.redis_path):
                os.unlink(self.redis_path)
        self.redis_server = self.redis = None

    # -- purgeline --

    def key(self, name):
        return f"purgeline:{{{ACCOUNT}}}:{name}"

    def redis_memory(self):
        return int(self.redis.ask("INFO", "memory").split(b"used_memory:")[1].split()[0])

    def pause(self, paused):
        self.redis.ask("HSET", self.key("control"), "paused", int(paused))

    def configuration(self, receipts="all", senders=1, window=1200000, listen="", purges=NO_LIMIT,
                      per_s=3600, burst=NO_LIMIT, verified_of_1000=0, **account):
        """account: more settings of the account. Without receipts there is no history either, if it names none."""
        if receipts == "none":
            account.setdefault("history_jobs", 0)
        path = self.path("purgeline.yaml")
        with open(path, "w") as f:
            f.write(f"""redis: unix://{self.redis_path}
redis_replicas: {self.redis_replicas}
data_dir: {self.dir}
senders: {senders}
memory_max: 4GiB
window: {window}
listen: "{listen}"
accounts:
  - name: {ACCOUNT}
    api: {self.url}
    ca_file: {self.ca}
    services: [{{id: {SERVICE}, name: news}}]
    budget: {{purges: {purges}, per_s: {per_s}, burst: {burst}}}
    max_in_flight: {IN_FLIGHT}
    receipts: {receipts}
""" + "".join(f"    {name}: {value}\n" for name, value in account.items()))
            if verified_of_1000:
                f.write(f'    verify: {{share: {verified_of_1000}, probes: ["127.0.0.1:{self.plain_port}"]}}\n')
        return [self.program, "run", "--config", path, "--log-level", "warn"]

    def start_purgeline(self, core=0, **configuration):
        server = Server(self, "purgeline", core, self.configuration(**configuration))
        until(lambda: self.redis.ask("EXISTS", self.key("lease")) == 1, "the lease", server)
        return server

    def load_command(self, *options):
        return [self.tool("bench_load"), "--redis", self.redis_path, "--account", ACCOUNT, *map(str, options)]

    def load(self, *options):
        """Pushes jobs, or other entries with --stream. Returns the times."""
        return json.loads(run(1, *self.load_command(*options)))

    def timed(self, goal, count, core=0, since="lease", **configuration):
        """Measures a run of purgeline that dispatches the jobs waiting in Redis: see stopwatch.c."""
        command = ["taskset", "-c", ",".join(str(c) for c in cores) if core is None else
                   str(cores[core])] + self.configuration(**configuration)
        return json.loads(run(1, self.tool("bench_stopwatch"), "--redis", self.redis_path,
                              "--account", ACCOUNT, "--until", goal, "--since", since,
                              "--count", str(count), "--", *command))
