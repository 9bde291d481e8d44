# SPDX-License-Identifier: MIT
"""The alternatives to purgeline. Each does the same work: one request per job from Redis, or HTTP requests
into Redis. Each has a Redis of its own, runs on core 0, and is stopped by its process id."""
import bisect
import os
import shutil
import sys
import time

from . import measures
from . import report
from . import world as w
from .world import Server, run, until

folder = os.path.join(w.here, "peers")
node_folder = os.path.join(folder, "node")
python = "/usr/bin/python3"  # Debian's: it has Debian's modules
URL_PREFIX = "www.example.com/news/2026/some-article-"


def go_binary():
    return os.path.join(w.root, "build/peers/go-peer")


def have(program):
    if program == "go":  # what it compiles
        return os.path.exists(go_binary())
    if program == "node":
        return report.said("node", "--version") >= "v20"
    if program == "npm":  # what it fetches
        return os.path.isdir(os.path.join(node_folder, "node_modules"))
    if program == "celery":
        return os.path.isdir("/usr/lib/python3/dist-packages/celery")
    return shutil.which(program)


def prepare(chosen):
    """Downloads and builds the peers that are not in a package. Those that are missing are skipped later."""
    for what in fetch, compile_go:
        try:
            what(chosen)
        except w.Failed as failure:
            print(f"bench/run: {failure}", file=sys.stderr)


def fetch(chosen):
    if chosen & {"fastify", "node", "bullmq", "fastly", "budget"} and shutil.which("npm"):
        stamp = os.path.join(node_folder, "node_modules", ".package-lock.json")
        lock = os.path.join(node_folder, "package-lock.json")
        if not os.path.exists(stamp) or os.path.getmtime(stamp) < os.path.getmtime(lock):
            run(None, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=node_folder)


def compile_go(chosen):
    if chosen & {"go", "goserve"} and shutil.which("go"):
        env = dict(os.environ, GOCACHE=os.path.join(w.root, "build/peers/go-cache"),
                   GOFLAGS="-mod=mod", GOPROXY="off", CGO_ENABLED="0")
        run(None, "go", "build", "-o", go_binary(), ".", cwd=os.path.join(folder, "go"), env=env)


# -- the whole job -------------------------------------------------------------------------------

def race(b, name, command, count, env=None, cwd=None, per_request=1, result=None):
    """Runs a dispatcher with `count` waiting jobs. The time is measured from the first request that the sink
    receives, so that it does not include the start. Returns processor seconds per job."""
    before, wanted = b.world.purges_seen(), -(-count // per_request)
    server = Server(b.world, name, 0, command, env=env, cwd=cwd)
    seen, peak_mb = [0], [0]

    def sees(n):
        peak_mb[0] = max(peak_mb[0], server.peak_mb())
        seen[0] = b.world.purges_seen() - before
        return seen[0] >= n
    until(lambda: sees(1), f"the first request of {name}", server, every_s=0.001)
    first, began, cpu = seen[0], time.monotonic(), server.cpu_s()
    until(lambda: sees(wanted), f"{wanted} requests of {name}", server, every_s=0.005)
    seconds, cpu_s = time.monotonic() - began, server.cpu_s() - cpu
    jobs = (seen[0] - first) * per_request
    result = result or name
    b.record(f"{result}_per_s", jobs / seconds)
    b.record(f"{result}_cpu", cpu_s / jobs * 10000)
    b.record(f"{result}_rss_mb", peak_mb[0])
    server.stop()
    b.expect(wanted, seen[0], name)
    b.now[f"{result}_per_s"], b.now[f"{result}_cpu"] = jobs / seconds, cpu_s / jobs


def share(b, count):
    return max(20, int(count * b.size.part))


def stream(b, kind, count):
    b.world.start_redis()
    b.world.load("--stream", "jobs", "--kind", kind, "--count", count)


def node_env(b):
    return {"NODE_EXTRA_CA_CERTS": b.world.ca, "NODE_ENV": "production"}


def go(b):
    n = share(b, 80000)
    stream(b, "url", n)
    race(b, "go", [go_binary(), "urls", b.world.redis_path, b.world.url, b.world.ca, "100"], n)
    n = -(-share(b, 400000) // 256) * 256
    stream(b, "key", n)
    race(b, "go", [go_binary(), "keys", b.world.redis_path, b.world.url, b.world.ca, "64"], n,
         per_request=256, result="go_keys")


def node(b):
    n = share(b, 40000)
    stream(b, "url", n)
    race(b, "node", ["node", "streams.js", "undici", b.world.redis_path, b.world.url], n,
         env=node_env(b), cwd=node_folder)
    n = -(-share(b, 200000) // 256) * 256
    stream(b, "key", n)
    race(b, "node", ["node", "streams.js", "keys", b.world.redis_path, b.world.url], n,
         env=node_env(b), cwd=node_folder, per_request=256, result="node_keys")


def fastly(b):
    n = share(b, 15000)
    stream(b, "url", n)
    race(b, "fastly", ["node", "streams.js", "fastly", b.world.redis_path, b.world.url], n,
         env=node_env(b), cwd=node_folder)


def bullmq(b):
    n = share(b, 25000)
    b.world.start_redis()
    run(1, "node", "bullmq.js", "push", b.world.redis_path, str(n), URL_PREFIX, cwd=node_folder)
    race(b, "bullmq", ["node", "bullmq.js", "work", b.world.redis_path, b.world.url], n,
         env=node_env(b), cwd=node_folder)


def sidekiq(b):
    n, cwd = share(b, 10000), os.path.join(folder, "ruby")
    b.world.start_redis()
    env = {"REDIS": f"unix://{b.world.redis_path}", "SINK": b.world.url, "CA": b.world.ca}
    run(1, "ruby", "purges.rb", "push", str(n), cwd=cwd, env=dict(os.environ, **env))
    race(b, "sidekiq", ["sidekiq", "-r", "./purges.rb", "-c", "25"], n, env=env, cwd=cwd)


def celery_env(b):
    return {"REDIS": f"redis+socket://{b.world.redis_path}", "SINK": b.world.url, "CA": b.world.ca,
            "REQUESTS_CA_BUNDLE": b.world.ca,  # it comes before what the program says
            "PYTHONDONTWRITEBYTECODE": "1", "C_FORCE_ROOT": "1"}


CELERY = [python, "-m", "celery", "-A", "purges", "worker", "-P", "threads", "-l", "ERROR",
          "--without-gossip", "--without-mingle", "--without-heartbeat", "-c"]


def celery_push(b, count, prefix):
    run(1, python, "purges.py", str(count), prefix, cwd=os.path.join(folder, "python"),
        env=dict(os.environ, **celery_env(b)))


def celery(b):
    n = share(b, 3000)
    b.world.start_redis()
    celery_push(b, n, URL_PREFIX)
    race(b, "celery", CELERY + ["32"], n, env=celery_env(b), cwd=os.path.join(folder, "python"))


def curl(b):
    """curl without a queue: it reads the URLs from a file."""
    n = share(b, 30000)
    with open(b.world.path("curl.txt"), "w") as f:
        f.write('request = "POST"\nheader = "Fastly-Key: token"\n')
        f.writelines(f'url = "{b.world.url}/purge/{URL_PREFIX}{i}"\noutput = "/dev/null"\n'
                     for i in range(n))
    race(b, "curl", ["curl", "-s", "-Z", "--parallel-max", "64", "--http2", "--cacert", b.world.ca,
                     "-K", b.world.path("curl.txt")], n)


# -- HTTP into Redis -----------------------------------------------------------------------------

def entries(b):
    return b.world.redis.ask("XLEN", "jobs")


def serve(b, name, command, port, path, body, *headers, env=None, cwd=None):
    server = Server(b.world, name, 0, command, env=env, cwd=cwd)
    until(lambda: w.can_connect(port), name, server)
    measures.enqueue_of(b, name, server, f"http://127.0.0.1:{port}{path}", body, *headers,
                        jobs=lambda: entries(b))
    server.stop()


def webdis(b):
    b.world.start_redis()
    port, conf = b.world.free_port(), b.world.path("webdis.json")
    with open(conf, "w") as f:
        f.write(f'{{"redis_host": "127.0.0.1", "redis_port": {b.world.redis_port}, '
                f'"http_host": "127.0.0.1", "http_port": {port}, "threads": 2, "pool_size": 20, '
                f'"daemonize": false, "verbosity": 1, "logfile": "{b.world.path("webdis.txt")}"}}')
    serve(b, "webdis", ["webdis", conf], port, "/",
          "XADD/jobs/*/url/www.example.com%2Fnews%2F2026%2Fsome-article")


def go_serve(b):
    b.world.start_redis()
    port = b.world.free_port()
    serve(b, "goserve", [go_binary(), "serve", b.world.redis_path, f"127.0.0.1:{port}"], port,
          "/v1/purge", measures.BODY, "Content-Type: application/json")


def fastify(b):
    b.world.start_redis()
    port = b.world.free_port()
    serve(b, "fastify", ["node", "enqueue.js", b.world.redis_path, str(port)], port, "/v1/purge",
          measures.BODY, "Content-Type: application/json",
          env=node_env(b), cwd=node_folder)


# -- holding a budget ----------------------------------------------------------------------------

PURGES, PER_S = 278, 10


def fullest_window(times):
    """The largest number of purges within any PER_S seconds."""
    times.sort()
    return max(bisect.bisect_left(times, at + PER_S) - i for i, at in enumerate(times))


def budget(b):
    """Runs all limiters at the same time, because they are mostly idle. Each uses its own Redis keys, and URLs that
    contain its name."""
    n = int(PURGES * b.size.held_s / PER_S * 2)
    b.world.start_redis()
    b.world.load("--lane", "normal", "--kind", "held", "--count", n)
    limiters = {"purgeline": b.world.start_purgeline(core=None, purges=PURGES, per_s=PER_S, burst=0)}
    if b.with_peers and have("node") and have("npm"):
        run(1, "node", "bullmq.js", "push", b.world.redis_path, str(n),
            "www.example.com/held/bullmq/", cwd=node_folder)
        limiters["bullmq"] = Server(b.world, "bullmq", None,
                                    ["node", "bullmq.js", "work", b.world.redis_path, b.world.url,
                                     str(PURGES), str(PER_S * 1000)],
                                    env=node_env(b), cwd=node_folder)
    if b.with_peers and have("celery"):
        celery_push(b, n, "www.example.com/held/celery/")
        limiters["celery"] = Server(b.world, "celery", None, CELERY + ["32"],
                                    env=dict(celery_env(b), RATE=f"{PURGES * 60 // PER_S}/m"),
                                    cwd=os.path.join(folder, "python"))
    time.sleep(b.size.held_s)
    for server in limiters.values():
        server.stop()
    read_held(b, limiters)


def read_held(b, limiters):
    arrivals = {name: [] for name in limiters}
    with open(b.world.path("sink/held.log")) as f:
        for line in f:
            at, uri = line.split()
            who = uri.split("/")[4].replace(w.ACCOUNT, "purgeline")
            arrivals[who].append(float(at))
    for name, times in arrivals.items():
        if not times:
            raise w.Failed(f"nothing came of {name}")
        # Whole windows from its first request on.
        began = min(times)
        whole = began + max(1, (b.size.held_s - 5) // PER_S) * PER_S
        counted = [at for at in times if at < whole]
        b.record(f"budget_{name}_worst", fullest_window(times) / PURGES)
        b.record(f"budget_{name}_used", len(counted) / (PURGES * (whole - began) / PER_S))
