// SPDX-License-Identifier: MIT
// Dead letters: list, filter, look, and retry or drop one of them, or all that match the filter.
import { get, post } from "./api.js";
import { accountField } from "./jobform.js";
import { announce, ask, button, count, field, form, h, look, note, pairs, time } from "./ui.js";

const PAGE = 50;
const WORDS = {
  retry: { title: "Retry", done: "retried", would: "would_retry", kind: "",
    one: "It is pushed again, as a new job in its lane.", many: "They are pushed again, as new jobs in their lanes." },
  drop: { title: "Drop", done: "dropped", would: "would_drop", kind: "danger",
    one: "It is deleted, and what it names stays unpurged.", many: "They are deleted, and what they name stays unpurged." },
};

const localTime = (text) => (text ? new Date(text).getTime() : undefined);

/** The filter of the form, in the words of the API; without members that are empty. */
function filterOf(data) {
  const filter = {
    reason: data.get("reason").trim(), target: data.get("target").trim(), service: data.get("service")?.trim(), producer: data.get("producer").trim(),
    since: localTime(data.get("since")), until: localTime(data.get("until")),
  };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== "" && value !== undefined && !Number.isNaN(value)));
}

const shown = (value) => (Array.isArray(value) ? value.map((one) => h("div", {}, String(one))) : String(value));

function details(letter, account) {
  return pairs([
    ["Reason", letter.reason], ["Target", letter.target && h("code", {}, letter.target)], ["Given up", time(letter.at)], ["Pushed by", letter.by],
    ["Job", letter.job && h("a", { href: `#/job/${encodeURIComponent(letter.job)}?account=${encodeURIComponent(account)}` }, letter.job)],
    ...Object.entries(letter.fields).filter(([name]) => name !== "by").map(([name, value]) => [name, h("code", {}, shown(value))]),
    ["Message", letter.message && h("pre", {}, letter.message)],
  ]);
}

export function show(main, { self, query, signal }) {
  const input = (name, more) => h("input", { name, autocomplete: "off", spellcheck: "false", ...more });
  const results = h("div", {});
  let account = "", filter = {}, pages = [undefined];

  const act = async (verb, order, many, target) => {
    const words = WORDS[verb];
    const done = await ask(many === 1 ? `${words.title} this dead letter?` : `${words.title} ${count(many, "dead letter")}?`, [
      target && h("p", {}, h("code", {}, target)),
      h("p", {}, many === 1 ? words.one : words.many),
    ], many === 1 ? words.title : `${words.title} ${count(many, "dead letter")}`,
    () => post(`v1/dead/${verb}`, { account, ...order }), words.kind);
    if (!done) return;
    announce(`${count(done[words.done], "dead letter")} ${words.done}.`);
    pages = [undefined];
    await list();
  };

  const actOnAll = async (verb) => {
    const order = Object.keys(filter).length ? { filter } : { all: true };
    const would = await post(`v1/dead/${verb}`, { account, ...order, dry_run: true });
    const many = would[WORDS[verb].would];
    if (many) await act(verb, { ...order, up_to: would.up_to }, many);
    else announce("No dead letter matches any more.");
  };

  const tryTo = (work) => async () => {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) results.prepend(note(error.message, true));
    }
  };

  const row = (letter) => {
    const one = (verb) => tryTo(() => act(verb, { ids: [letter.id] }, 1, letter.target));
    const named = (label, run, kind) => {
      const b = button(label, run, `slim ${kind || ""}`.trim());
      b.append(h("span", { class: "quiet" }, ` ${letter.target || letter.id}`));
      return b;
    };
    return h("tr", {}, h("td", { class: "when" }, time(letter.at)),
      h("td", {}, h("code", {}, letter.target || "–"), h("div", { class: "small soft" }, letter.reason, letter.by && ` · by ${letter.by}`)),
      h("td", {}, h("div", { class: "buttons" },
        named("Look", () => look("Dead letter", details(letter, account), [["Retry", one("retry")], ["Drop", one("drop"), "danger"]])),
        named("Retry", one("retry")), named("Drop", one("drop"), "danger"))));
  };

  const list = async () => {
    const told = await get("v1/dead", { account, ...filter, before: pages[pages.length - 1], limit: PAGE }, signal);
    const letters = told.letters;
    const title = h("h2", { tabindex: -1 }, letters.length ? `${Object.keys(filter).length ? "Those that match" : "All"}, newest first` : "None");
    const turn = (label, change) => button(label, tryTo(async () => {
      change();
      await list();
    }));
    results.replaceChildren(h("section", { class: "card" },
      h("div", { class: "head" }, title, letters.length > 0 && h("div", { class: "buttons" },
        button("Retry all …", tryTo(() => actOnAll("retry"))), button("Drop all …", tryTo(() => actOnAll("drop")), "danger"))),
      letters.length ? h("table", { class: "letters" }, h("caption", { class: "quiet" }, "Dead letters"), h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, "Given up"), h("th", { scope: "col" }, "Target and reason"), h("th", { scope: "col" }, h("span", { class: "quiet" }, "Actions")))),
      h("tbody", {}, letters.map(row)))
        : h("p", { class: "soft" }, Object.keys(filter).length ? "No dead letter matches." : "There are no dead letters: no job was given up."),
      h("div", { class: "buttons" }, pages.length > 1 && turn("Newer", () => pages.pop()),
        told.more && turn("Older", () => pages.push(letters[letters.length - 1].id)))));
    title.focus({ preventScroll: pages.length === 1 });
  };

  const filterForm = form({}, async (data) => {
    account = data.get("account");
    filter = filterOf(data);
    pages = [undefined];
    await list();
  }, h("div", { class: "fields" }, accountField(self, query.get("account")), field("Reason contains", input("reason")), field("Target contains", input("target")),
    field("Service", input("service"), "Its name or id."),
    field("Who", input("producer"), "The whole name: a producer, “hook NAME” or “consumer NAME”."),
    field("Given up since", input("since", { type: "datetime-local" })), field("Given up until", input("until", { type: "datetime-local" }))),
  h("div", { class: "buttons" }, h("button", { class: "main" }, "Filter")));
  main.append(h("details", { class: "card", open: window.innerWidth > 640 }, h("summary", {}, "Filter"), filterForm), results);
  account = new FormData(filterForm).get("account");
  tryTo(list)();
}
