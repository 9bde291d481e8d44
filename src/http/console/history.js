// SPDX-License-Identifier: MIT
// The jobs that have ended: search by target, reference, outcome, purge id, who pushed them and time, page by page; and among
// them, for operators, what people did.
import { get } from "./api.js";
import { accountField } from "./jobform.js";
import { moodOf } from "./receipt.js";
import { button, count, field, form, h, note, number, select, time } from "./ui.js";

const PAGE = 50;
const LOOKS = 20; // one request looks at a part of the history only, which may have nothing that matches
const OUTCOMES = [["", "any"], ["purged", "purged"], ["dead", "dead"], ["expired", "expired"], ["cancelled", "cancelled"]];

const localTime = (text) => (text ? new Date(text).getTime() : undefined);

function whatWasPurged(j) {
  const p = j.purge || {};
  const named = [...(p.keys || []), ...(p.urls || [])];
  const services = p.services || (p.service ? [p.service] : []);
  return [
    p.all && h("div", {}, "everything"), named.slice(0, 3).map((t) => h("div", {}, h("code", {}, t), p.cut && " …")),
    j.targets > Math.min(3, named.length) && named.length > 0 && h("div", { class: "small soft" }, `and ${number(j.targets - Math.min(3, named.length))} more`),
    h("div", { class: "small soft" }, [services.length > 0 && services.join(", "), p.soft && "soft", j.ref && `reference ${j.ref}`, j.by && `by ${j.by}`, p.id && `purge id ${p.id}`].filter(Boolean).join(" · ")),
  ];
}

const row = (j, account) => h("tr", {}, h("td", { class: "when" }, time(j.at)),
  h("td", {}, whatWasPurged(j)),
  h("td", {}, h("span", { class: `mood ${moodOf(j.state)}` }, j.state), j.reason && h("div", { class: "small soft" }, j.reason),
    h("div", { class: "small" }, h("a", { href: `#/job/${encodeURIComponent(j.job)}?account=${encodeURIComponent(account)}` }, j.job))));

const ACTS = { pause: "Paused", resume: "Resumed", dead_retry: "Retried", dead_drop: "Dropped", reload: "Settings reloaded" };

const setting = (s) => (s.from === undefined ? s.name : `${s.name} ${s.from} → ${s.to}`);

function whichLetters({ all, filter = {} }) {
  const texts = ["reason", "target", "service", "producer"].filter((name) => filter[name]).map((name) => `${name} “${filter[name]}”`);
  const times = ["since", "until"].filter((name) => filter[name]).map((name) => [`${name} `, time(filter[name])]);
  return [all && "all", ...texts, ...times].filter(Boolean).flatMap((part, i) => (i ? [" · ", part] : [part])).flat();
}

const actRow = (a) => h("tr", { class: "act" }, h("td", { class: "when" }, time(a.at)),
  h("td", {}, h("div", {}, ACTS[a.act] || a.act, a.count !== undefined && ` ${count(a.count, "dead letter")}`), h("div", { class: "small soft" }, a.why), a.settings && h("div", { class: "small soft" }, a.settings.map(setting).join(" · ")), h("div", { class: "small soft" }, whichLetters(a))),
  h("td", { class: "small" }, `by ${a.by}`));

export function show(main, { self, query, signal }) {
  const input = (name, more) => h("input", { name, autocomplete: "off", spellcheck: "false", ...more });
  const body = h("tbody", {});
  const title = h("h2", { tabindex: -1 }, "Jobs that have ended");
  const table = h("table", {}, h("caption", { class: "quiet" }, "Jobs that have ended"), h("thead", {}, h("tr", {},
    h("th", { scope: "col" }, "Ended"), h("th", { scope: "col" }, "Purged"), h("th", { scope: "col" }, "Outcome"))), body);
  const foot = h("div", { class: "buttons" });
  const results = h("section", { class: "card", "aria-label": "Jobs that have ended" }, h("div", { class: "head" }, title), table, foot);
  let search = {}, next, asked = 0;

  /** Adds jobs until there is a page of them, or nothing older. */
  const addPage = async () => {
    const turn = ++asked;
    let found = 0;
    for (let i = 0; i < LOOKS && found < PAGE && next !== null; i++) {
      const told = await get("v1/history", { ...search, limit: PAGE, cursor: next }, signal);
      if (turn !== asked) return;
      const lines = [...told.jobs, ...(told.acts || [])].sort((a, b) => b.at - a.at);
      body.append(...lines.map((l) => (l.act ? actRow(l) : row(l, told.account))));
      found += lines.length;
      next = told.next;
    }
    const shown = body.children.length;
    const acts = body.querySelectorAll(".act").length;
    title.textContent = shown ? `${count(shown - acts, "job")}${acts ? ` and ${count(acts, "act")}` : ""}${next ? "" : ", all there are"}, newest first` : next ? "None yet" : "None";
    table.hidden = !shown;
    foot.replaceChildren(...(next ? [button(shown ? "Older" : "Look further back", older)] : []),
      ...(shown || next ? [] : [h("p", { class: "soft" }, "No job that has ended matches.")]));
  };
  const older = async () => {
    const last = body.lastElementChild;
    try {
      await addPage();
      (last?.nextElementSibling?.querySelector("a") || title).focus();
    } catch (error) {
      if (!signal.aborted) foot.prepend(note(error.message, true));
    }
  };
  const begin = async (data) => {
    search = { account: data.get("account"), target: data.get("target").trim(), ref: data.get("ref").trim(), id: data.get("id").trim(), outcome: data.get("outcome"), producer: data.get("producer")?.trim(),
      since: localTime(data.get("since")), until: localTime(data.get("until")) };
    next = undefined;
    body.replaceChildren();
    await addPage();
  };
  const searchForm = form({}, async (data) => {
    await begin(data);
    title.focus({ preventScroll: true });
  }, h("div", { class: "fields" }, accountField(self, query.get("account")),
    field("Key or URL", input("target"), "The whole of it."), field("Reference", input("ref"), "The whole of it."), field("Outcome", select("outcome", OUTCOMES, "")),
    field("Purge id", input("id"), "As Fastly gave it."),
    self.admin && field("Who", input("producer"), "A producer; “hook NAME”, “consumer NAME”, or user@host."),
    field("Ended since", input("since", { type: "datetime-local" })), field("Ended until", input("until", { type: "datetime-local" }))),
  h("div", { class: "buttons" }, h("button", { class: "main" }, "Search")));
  main.append(h("details", { class: "card", open: window.innerWidth > 640 }, h("summary", {}, "Search"), searchForm), results);
  begin(new FormData(searchForm)).catch((error) => { if (!signal.aborted) results.append(note(error.message, true)); });
}
