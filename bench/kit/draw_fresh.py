# SPDX-License-Identifier: MIT
"""Draws the results of bench/fresh as a picture for README.md, and writes the files that --keep updates."""
import html
import json
import math
import os

from . import draw, fresh, report
from . import world as w

WIDTH, LABEL, AXIS, PITCH = draw.WIDTH, 176, 318, 23
LEAST_S, MOST_S = 0.1, 100 * 3600  # the ends of the axis
TICKS = ((0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (36000, "10 h"))
US = fresh.PURGELINE.name
LOST = "429"

STYLE = draw.STYLE + """
.rest { opacity: .4 }
.lost { fill: #cf222e; font-weight: 600 }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round }
@media (prefers-color-scheme: dark) { .lost { fill: #f85149 } .value { stroke: #0d1117 } }
"""


def words(seconds):
    """A duration in two figures."""
    if seconds < 0.05:
        return "< 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes % 60 == 0 or minutes >= 600:
        return f"{minutes / 60:.0f} h"
    return f"{minutes // 60} h {minutes % 60} min"


def said(r):
    """What the picture says next to the bar."""
    text = words(r["last_s"])
    if r["never"]:
        return f"{words(r['last_s'])}; {r['never']:,} never: {LOST}"
    if r["half_s"] * 20 < r["last_s"] and r["last_s"] > 60:
        text = f"half {words(r['half_s'])}, all {text}"
    return text


def x_of(seconds):
    share = math.log(max(seconds, LEAST_S) / LEAST_S) / math.log(MOST_S / LEAST_S)
    return LABEL + AXIS * share


class Picture(draw.Picture):
    def axis(self, rows):
        """The ticks above a panel, and their lines through it."""
        self.y += 10
        for seconds, label in TICKS:
            x = x_of(seconds)
            self.text(x, self.y, label, "quiet", "middle")
            self.parts.append(f'<line x1="{x:.1f}" y1="{self.y + 5}" x2="{x:.1f}" '
                              f'y2="{self.y + 6 + rows * PITCH}" class="line"/>')
        self.y += 5

    def row(self, r):
        kind = draw.US if r["who"] == US else draw.THEM
        half, last = x_of(r["half_s"]), x_of(r["last_s"])
        self.text(LABEL - 10, self.y + 16, r["who"], "strong" if kind == draw.US else "", "end")
        self.rect(LABEL, self.y + 5, half - LABEL, 14, kind)
        self.rect(half, self.y + 5, last - half, 14, kind + " rest")
        self.value(last + 8, r, kind)
        self.y += PITCH

    def value(self, x, r, kind):
        mark = {fresh.SCALED: " †", fresh.COMPUTED: " *"}.get(r["how"], "")
        text, lost = html.escape(said(r)), ""
        if r["never"]:
            text, _, lost = text.partition("; ")
            lost = f'; <tspan class="lost">{lost}</tspan>'
        strong = " strong" if kind == draw.US else ""
        self.parts.append(f'<text x="{x:.0f}" y="{self.y + 16:.0f}" class="value{strong}">{text}{lost}{mark}</text>')


TITLES = {1000: "1,000 keys", 20000: "20,000 keys", 100000: "100,000 keys: all that an hour allows",
          150000: "150,000 keys: more than an hour allows"}


def svg(found):
    picture = Picture()
    picture.style, picture.about = STYLE, "how soon the last of many keys is purged"
    picture.title("Until the last of so many keys is purged",
                  "nothing spent of the hour's 100,000; 20 ms a reply; full colour: until half are purged; log. scale")
    for keys in sorted({r["keys"] for r in found["results"]}):
        rows = [r for r in found["results"] if r["keys"] == keys]
        picture.y += 22
        picture.text(draw.MARGIN, picture.y, TITLES.get(keys, f"{keys:,} keys"), "strong")
        picture.y += 6
        picture.axis(len(rows))
        for r in rows:
            picture.row(r)
    picture.y += 8
    for line in caption(found):
        picture.y += 17
        picture.text(draw.MARGIN, picture.y, line, "quiet")
    picture.y += 8
    return picture.svg()


def caption(found):
    yield f"bench/fresh, {found['date'][:10]}, against deploy/sandbox with Fastly's limit of 100,000 in any hour."
    yield "† measured with budget, window and keys divided by 60 (BullMQ: 10), times multiplied; no mark: measured."
    yield ("* computed: purgeline plan --fresh; 0.1.0 by its rule (4,500 at once, then 27.8 a second); Celery by its "
           "pace.")
    yield ("The scripts send one request at a time and go on after a 429, as most plugins do: what it refused stays "
           "stale.")
    yield ("Who sends the 100,000 at once has nothing left for an hour, not even for an urgent purge; purgeline always "
           "has.")


def table(found):
    lines = [f"bench/fresh, {found['date']}",
             f"{found['machine']}; load of the machine before {found['load_before']}", "",
             f"{'keys':>8}  {'sender':<24} {'half':>12} {'last':>12} {'429s':>7} {'never':>8}"]
    for r in found["results"]:
        lines.append(f"{r['keys']:>8,}  {r['who']:<24} {words(r['half_s']):>12} {words(r['last_s']):>12} "
                     f"{r['refused_requests']:>7,} {r['never']:>8,}  {r['how']}")
    return "\n".join(lines) + "\n"


def path(name):
    return os.path.join(w.here, name)


def kept():
    with open(path("fresh.json")) as f:
        return json.load(f)


def keep(found):
    with open(path("fresh.json"), "w") as f:
        json.dump(found, f, indent=1)
        f.write("\n")
    with open(path("fresh.svg"), "w") as f:
        f.write(svg(found))
    report.write_into_page("fresh", f"```\n{table(found)}```\n")


def check():
    with open(path("fresh.svg")) as f:
        if f.read() == svg(kept()):
            return 0
    print("bench/fresh.svg is not drawn from bench/fresh.json: run bench/fresh --draw")
    return 1
