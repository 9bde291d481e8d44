// SPDX-License-Identifier: MIT
// Elements, words and dialogs. Everything that comes from outside becomes a text node: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Sets the text only if it differs, so that selections and screen readers are left alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replaces the children only if `data` differs from the last time. */
export function refill(element, data, make) {
  const now = JSON.stringify(data);
  if (element.filledWith === now) return;
  element.filledWith = now;
  element.replaceChildren(...[make()].flat(Infinity).filter(Boolean));
}

let ids = 0;
export const newId = (name) => `${name}-${++ids}`;

// -- words --------------------------------------------------------------------------------------------------------

const digits = new Intl.NumberFormat("en");
export const number = (n) => digits.format(n);
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60000) return `${Math.round(ms / 1000)} s`;
  if (ms < 3600000) return `${Math.floor(ms / 60000)} min`;
  if (ms < 86400000) return `${Math.floor(ms / 3600000)} h ${Math.floor((ms % 3600000) / 60000)} min`;
  return count(Math.floor(ms / 86400000), "day");
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** A <time>: the clock, with the date unless it is today. */
export function time(ms) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "?";
  const today = at.toDateString() === new Date().toDateString();
  return h("time", { datetime: at.toISOString() }, today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`);
}

// -- saying what was done -----------------------------------------------------------------------------------------

let quiet;

/** Shows a sentence for some seconds, and has it read aloud. For the results of what the user has done. */
export function announce(sentence) {
  const said = document.getElementById("said");
  said.textContent = sentence;
  clearTimeout(quiet);
  quiet = setTimeout(() => { said.textContent = ""; }, 8000);
}

export const note = (text, wrong) => h("p", { class: wrong ? "note wrong" : "note", role: wrong ? "alert" : null }, text);

// -- forms --------------------------------------------------------------------------------------------------------

export function field(label, control, hint, wide) {
  control.id = newId("field");
  if (hint) control.setAttribute("aria-describedby", `${control.id}-hint`);
  return h("div", { class: wide ? "field wide" : "field" }, h("label", { for: control.id }, label), control,
    hint && h("span", { class: "hint", id: `${control.id}-hint` }, hint));
}

export function choice(type, name, value, label, checked) {
  const id = newId("choice");
  const input = h("input", { type, name, value, id });
  input.checked = checked;
  return h("span", { class: "choice" }, input, h("label", { for: id }, label));
}

export const select = (name, options, chosen) => h("select", { name }, options.map(([value, label]) =>
  h("option", { value, selected: value === chosen }, label)));

export const button = (label, onclick, kind = "") => h("button", { type: "button", class: kind || null, onclick }, label);

/** A form whose submission runs `work`; while it runs, a second submission does nothing. Shows errors in words. */
export function form(properties, work, ...children) {
  const wrong = h("div", {});
  const element = h("form", { ...properties, novalidate: true }, ...children, wrong);
  let busy = false;
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    wrong.replaceChildren();
    try {
      await work(new FormData(element), event.submitter);
    } catch (error) {
      if (error.name !== "AbortError") wrong.replaceChildren(note(error.message, true));
    }
    busy = false;
  });
  return element;
}

/** A modal dialog. `work` gets the form's data and may throw: then the dialog stays, with the error. Resolves to the
 *  result of `work`, or undefined if the user has cancelled. */
export function ask(title, content, action, work, kind = "") {
  return new Promise((resolve) => {
    const id = newId("dialog");
    let result;
    const cancel = button("Cancel", () => dialog.close());
    const dialog = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title), form({}, async (data) => {
      result = await work(data);
      dialog.close();
    }, content, h("div", { class: "buttons" }, h("button", { class: `main ${kind}` }, action), cancel)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("input, textarea, select") || cancel).focus();
  });
}

/** A dialog to look at something. */
export function look(title, content, buttons = []) {
  const id = newId("dialog");
  const dialog = h("dialog", { class: "large", "aria-labelledby": id }, h("h2", { id }, title), content,
    h("div", { class: "buttons" }, buttons.map(([label, run, kind]) => button(label, () => {
      dialog.close();
      run();
    }, kind)), button("Close", () => dialog.close())));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target.closest("a")) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
}

export const pairs = (list) => h("dl", {}, list.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
  .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
