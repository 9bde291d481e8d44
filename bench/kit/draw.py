# SPDX-License-Identifier: MIT
"""Draws the results as a picture for README.md, and writes the files that --keep updates."""
import html
import json
import os

from . import report
from . import world as w

MARGIN, WIDTH, LABEL, BAR, PITCH = 16, 760, 240, 380, 24
US, THEM, LIMIT = "us", "them", "limit"

# The panels: title, unit, and the bars. Each bar has the name of its row, a label, and whose program it is.
PANELS = (
    ("Purges per second, one request each", "from Redis to Fastly's API over TLS, on one core", (
        ("celery_per_s", "Celery, requests", THEM), ("sidekiq_per_s", "Sidekiq, Net::HTTP", THEM),
        ("fastly_per_s", "npm fastly", THEM), ("bullmq_per_s", "BullMQ, undici", THEM),
        ("node_per_s", "hand-written Node, undici", THEM),
        ("curl_per_s", "curl -Z, no queue", THEM), ("go_per_s", "hand-written Go, HTTP/2", THEM),
        ("urls_per_s_all", "purgeline", US), ("bare_per_s", "libcurl alone, no queue", LIMIT))),
    ("Surrogate keys per second", "one job each, batches of 256, Fastly answers after 20 ms", (
        ("node_keys_per_s", "hand-written Node", THEM), ("go_keys_per_s", "hand-written Go", THEM),
        ("keys_per_s_all", "purgeline, a receipt per job", US),
        ("keys_per_s_history", "purgeline, receipts in history", US),
        ("keys_per_s_none", "purgeline, no receipts", US),
        ("drain_per_s", "Redis: read and remove", LIMIT))),
    ("Purges accepted over HTTP per second", "64 connections, in Redis before the answer, on one core", (
        ("fastify_per_s", "fastify, ioredis", THEM), ("goserve_per_s", "Go net/http", THEM),
        ("webdis_per_s", "webdis", THEM), ("enqueue_per_s", "purgeline", US),
        ("ceiling_per_s", "nginx, constant answer", LIMIT))),
)
BUDGET = (("bullmq", "BullMQ limiter", THEM), ("celery", "Celery rate_limit", THEM),
          ("purgeline", "purgeline", US))

# An image cannot use the colours of the page, so it has its own background, light or dark as the viewer prefers.
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.ground { fill: #ffffff }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #59636e; font-size: 12px }
.us { fill: #1a7f37 } .them { fill: #8c959f }
.limit { fill: none; stroke: #8c959f; stroke-dasharray: 4 3 }
.strong { font-weight: 600 }
.over { fill: #cf222e }
.line { stroke: #59636e; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 }
  .us { fill: #3fb950 } .them { fill: #6e7681 } .limit { stroke: #9198a1 }
  .over { fill: #f85149 } .line { stroke: #9198a1 }
}
"""


class Picture:
    style, about = STYLE, "purgeline compared"

    def __init__(self):
        self.parts, self.y = [], 8

    def text(self, x, y, words, kind="", anchor="start"):
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">'
                          f'{html.escape(words)}</text>')

    def rect(self, x, y, width, height, kind):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" '
                          f'height="{height}" rx="2" class="{kind}"/>')

    def title(self, title, what):
        self.y += 18
        self.text(MARGIN, self.y, title, "title")
        self.y += 18
        self.text(MARGIN, self.y, what, "quiet")
        self.y += 10

    def bar(self, label, share, value, whose):
        """Draws a bar. `share` is its length relative to the longest bar of the panel."""
        self.text(LABEL - 10, self.y + 14, label, "strong" if whose == US else "", "end")
        self.rect(LABEL, self.y + 3, BAR * share, 15, whose)
        self.text(LABEL + BAR * share + 8, self.y + 14, value, "strong" if whose == US else "quiet")
        self.y += PITCH

    def svg(self):
        height = self.y + MARGIN // 2
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
                f'width="{WIDTH}" height="{height}" role="img" aria-label="{self.about}">\n'
                f'<style>{self.style}</style>\n'
                '<rect width="100%" height="100%" rx="6" class="ground"/>\n' +
                "\n".join(self.parts) + "\n</svg>\n")


def panel(picture, found, title, what, bars):
    bars = [(found[name], label, whose) for name, label, whose in bars if name in found]
    if not any(whose == US for *_, whose in bars):
        return
    bars.sort(key=lambda bar: ((THEM, US, LIMIT).index(bar[2]), bar[0]))
    longest = max(value for value, *_ in bars)
    picture.title(title, what)
    for value, label, whose in bars:
        picture.bar(label, value / longest, f"{value:,.0f}", whose)
    picture.y += 12


def budget_panel(picture, found):
    limiters = [(f"budget_{name}", label, whose) for name, label, whose in BUDGET
                if f"budget_{name}_worst" in found]
    if len(limiters) < 2:
        return
    longest = max(found[name + "_worst"] for name, *_ in limiters)
    picture.title("Holding a budget with a backlog waiting",
                  "the fullest 10 seconds, in % of what they may hold; below it, what was used in all")
    top = picture.y
    for name, label, whose in limiters:
        worst, used = found[name + "_worst"], found[name + "_used"]
        over = f"{worst:.0%}" + (f": {worst - 1:.0%} over" if worst > 1.0005 else "")
        picture.bar(label, worst / longest, over, "over" if worst > 1.0005 else whose)
        picture.y -= 3
        picture.bar("", used / longest, f"{used:.0%} used", whose)
        picture.y += 4
    x = LABEL + BAR / longest
    picture.parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{picture.y}" class="line"/>')
    picture.y += 12


def svg(result):
    found = {row["name"]: row["median"] for row in result["rows"]}
    picture = Picture()
    for title, what, bars in PANELS:
        panel(picture, found, title, what, bars)
    budget_panel(picture, found)
    picture.y += 12
    picture.text(MARGIN, picture.y, f"bench/run, {result['date'][:10]}: {result['machine']}, everything on "
                 "this one machine", "quiet")
    picture.text(MARGIN, picture.y + 16, "Medians of one run. Green: purgeline; dashed: what limits it.",
                 "quiet")
    picture.y += 20
    return picture.svg()


def keep(result):
    def path(name):
        return os.path.join(w.here, name)
    with open(path("results.json"), "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    with open(path("results.svg"), "w") as f:
        f.write(svg(result))
    report.write_into_page("results", f"```\n{report.table(result)}```\n")
