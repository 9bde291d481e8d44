// SPDX-License-Identifier: MIT
// Four small plots of the last hour. What they show is also said in words, for those who do not see them.
import { duration, h, number, say, svg } from "./ui.js";

const WIDTH = 360, HEIGHT = 72;
const SHOWN = [
  ["sent", "Sent", "sent", (v) => `${number(Math.round(v * 10) / 10)}/s`],
  ["waiting", "Waiting", "waiting", number],
  ["oldest_ms", "Oldest", "oldest", (v) => duration(v)],
  ["budget_left", "Budget left", "left", number],
];

/** Parts of the curve, each without unknown values. */
function pieces(values) {
  const all = [];
  values.forEach((v, i) => {
    if (v === null) return;
    if (i > 0 && values[i - 1] !== null) all[all.length - 1].push([i, v]);
    else all.push([[i, v]]);
  });
  return all;
}

function paths(values, most) {
  const step = WIDTH / Math.max(1, values.length - 1);
  const x = (i) => (i * step).toFixed(1);
  const y = (v) => (HEIGHT - 2 - (HEIGHT - 6) * (most ? v / most : 0)).toFixed(1);
  let line = "", area = "";
  for (const piece of pieces(values)) {
    const points = piece.map(([i, v]) => `${x(i)} ${y(v)}`).join("L");
    line += `M${points}${piece.length === 1 ? "h.1" : ""}`;
    area += `M${x(piece[0][0])} ${HEIGHT}L${points}L${x(piece[piece.length - 1][0])} ${HEIGHT}Z`;
  }
  return { line, area };
}

function makePlot(title, form) {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const mark = svg("path", { class: "mark" });
  const plot = svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, area, line, mark);
  const value = h("b", {});
  const left = h("span", {});
  const right = h("span", {}, "now");
  const element = h("figure", {}, h("figcaption", {}, title, value), plot, h("div", { class: "feet", "aria-hidden": "true" }, left, right));
  let values = [], stepMs = 10000;
  const last = () => {
    const known = values.filter((v) => v !== null);
    say(value, known.length ? form(known[known.length - 1]) : "–");
    say(right, "now");
    mark.setAttribute("d", "");
  };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const i = Math.round(((event.clientX - box.left) / box.width) * (values.length - 1));
    if (values[i] === undefined) return;
    say(value, values[i] === null ? "not known" : form(values[i]));
    say(right, `${duration((values.length - 1 - i) * stepMs)} ago`);
    mark.setAttribute("d", `M${(i * WIDTH) / Math.max(1, values.length - 1)} 0V${HEIGHT}`);
  });
  plot.addEventListener("pointerleave", last);
  return { element, update: (now, step) => {
    values = now;
    stepMs = step;
    const known = values.filter((v) => v !== null);
    const most = known.reduce((a, b) => Math.max(a, b), 0);
    const drawn = paths(values, most);
    line.setAttribute("d", drawn.line);
    area.setAttribute("d", drawn.area);
    const span = duration(values.length * stepMs);
    say(left, known.length ? `${span} · most ${form(most)}` : "nothing is known yet");
    plot.setAttribute("aria-label", known.length
      ? `${title} in the last ${span}: now ${form(known[known.length - 1])}, most ${form(most)}, least ${form(known.reduce((a, b) => Math.min(a, b)))}`
      : `${title}: nothing is known yet`);
    last();
  } };
}

export function makePlots() {
  const element = h("div", { class: "plots" });
  let plots = null;
  return { element, update: (hour, stepMs) => {
    if (!plots) {
      plots = SHOWN.map(([, title, , form]) => makePlot(title, form));
      element.append(...plots.map((p) => p.element));
    }
    SHOWN.forEach(([name], i) => plots[i].update(
      name === "sent" ? hour.sent.map((v) => (v === null ? null : v / (stepMs / 1000))) : hour[name], stepMs));
  } };
}
