# SPDX-License-Identifier: MIT
"""From samples to a table, or to JSON."""
import datetime
import os
import re
import statistics
import subprocess

from . import world as w
from .rows import rows


def said(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.strip()
    except OSError:
        return ""


def first(pattern, text):
    found = re.search(pattern, text)
    return found.group(1) if found else ""


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine():
    cpu = first(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    kb = int(first(r"MemTotal:\s*(\d+)", open("/proc/meminfo").read()))
    return f"{cpu}, {len(w.cores)} cores, {kb / 1048576:.0f} GB"


def versions():
    node = os.path.join(w.here, "peers/node/node_modules")
    found = {
        "purgeline": said("git", "-C", w.root, "describe", "--always", "--dirty") or "?",
        "Debian": open("/etc/debian_version").read().strip(),
        "Linux": os.uname().release,
        "gcc": first(r"(\d+\.\d+)", said("gcc", "-dumpfullversion")),
        "libcurl": first(r"libcurl/(\S+)", said("curl", "--version")),
        "OpenSSL": first(r"OpenSSL (\S+)", said("openssl", "version")),
        "nginx": first(r"nginx/(\S+)", said("nginx", "-v")),
        "Redis": first(r"v=(\S+)", said("redis-server", "--version")),
        "Go": first(r"go(\d\S*)", said("go", "version")),
        "Node": said("node", "--version").lstrip("v") if os.path.isdir(node) else "",
        "Ruby": first(r"ruby (\S+)", said("ruby", "--version")),
        "Celery": first(r"(\d[\d.]*)", said("dpkg-query", "-Wf", "${Version}", "python3-celery")),
        "Sidekiq": first(r"(\d[\d.]*)", said("dpkg-query", "-Wf", "${Version}", "ruby-sidekiq")),
        "webdis": first(r"^(\d[\d.]*)", said("dpkg-query", "-Wf", "${Version}", "webdis")),
    }
    for package in "bullmq", "undici", "fastly", "fastify", "ioredis":
        path = os.path.join(node, package, "package.json")
        if os.path.exists(path):
            found[package] = first(r'"version": "([^"]+)"', open(path).read())
    return {name: version for name, version in found.items() if version}


def holds(value, goal):
    sign, bound = goal.split()
    return value >= float(bound) if sign == ">=" else value <= float(bound)


def of_goal(value, goal):
    """How far the goal is reached: 1 or more means that it is met."""
    sign, bound = goal.split()
    if sign == ">=":
        return value / float(bound)
    return float(bound) / value if value > 0 else float("inf")


def report(bench):
    result = {"date": now(), "machine": machine(), "versions": versions(),
              "load_before": bench.load_before, "others": round(bench.others, 3),
              "size": bench.size.name,
              "repeats": bench.repeats, "seconds": round(bench.seconds), "notes": bench.notes,
              "rows": []}
    section = None
    for name, what, decimals, goal in rows(bench.size):
        if name is None:
            section = what
            continue
        samples = bench.samples.get(name)
        if not samples:
            continue
        row = {"name": name, "section": section, "what": what, "decimals": decimals,
               "median": statistics.median(samples), "min": min(samples), "max": max(samples),
               "samples": samples}
        if goal and bench.size.name != "smoke":
            row.update(goal=goal, of_goal=of_goal(row["median"], goal),
                       holds=holds(row["median"], goal))
        result["rows"].append(row)
    return result


def figure(value, decimals):
    return f"{value:,.{decimals}f}"


def heading(result):
    numbers = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    yield f"purgeline bench, {result['date']}" + ("" if result["size"] == "full" else
                                                  f", {result['size']}")
    yield result["machine"]
    while len(numbers) > 100:
        cut = numbers.rindex(", ", 0, 100) + 1
        yield numbers[:cut]
        numbers = numbers[cut + 1:]
    yield numbers
    yield (f"{result['repeats']} rounds in {result['seconds']} s; load of the machine before "
           f"{result['load_before']}; meanwhile others took {result['others']:.0%} of it")


def table(result):
    lines = list(heading(result))
    width = max((len(row["what"]) for row in result["rows"]), default=40)
    lines += ["", f"{'':{width}}  {'median':>10}  {'min - max':<21} {'goal':<10} {'of goal':>7}"]
    section = None
    for row in result["rows"]:
        if row["section"] != section:
            section = row["section"]
            lines += ["", section]
        d = row["decimals"]
        line = (f"{row['what']:{width}}  {figure(row['median'], d):>10}  "
                f"{figure(row['min'], d) + ' - ' + figure(row['max'], d):<21} ")
        if "goal" in row:
            line += f"{row['goal']:<10} {row['of_goal']:>7.2f}  {'pass' if row['holds'] else 'SHORT'}"
        lines.append(line.rstrip())
    if result["notes"]:
        lines += [""] + [f"Note: {note}" for note in result["notes"]]
    return "\n".join(lines) + "\n"


def write_into_page(mark, text):
    """Replaces the text between the two comments with this mark in bench/README.md."""
    path = os.path.join(w.here, "README.md")
    begin, end = f"<!-- {mark}: written by ", f"<!-- end of {mark} -->"
    with open(path) as f:
        before, _, rest = f.read().partition(begin)
    writer = rest.partition("\n")[0]
    with open(path, "w") as f:
        f.write(f"{before}{begin}{writer}\n{text}{end}{rest.partition(end)[2]}")
