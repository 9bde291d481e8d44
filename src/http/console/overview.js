// SPDX-License-Identifier: MIT
// The overview: each account with its verdict, what waits, what is left of its budget, and what happened lately.
import { get, post } from "./api.js";
import { live } from "./live.js";
import { makePlots } from "./plots.js";
import { announce, ask, button, count, duration, field, h, number, pairs, refill, say, select, svg, time } from "./ui.js";

const MOODS = { good: "", slowed: "Slowed: ", trouble: "Needs help: " };
const LANES = ["urgent", "normal", "bulk"];
const LEDGERS = { purge: "Budget", url: "URL budget", write: "Write budget" };
const CONSUMERS = {
  absent: "not running", running: "running", redis_away: "Redis does not accept its jobs",
  source_away: "cannot read its source", full: "waits: the account has as many jobs as it may",
  paused: "waits: the account is paused",
};

/** Sections of the runbook that fit the state of an account. */
function advice(s) {
  const d = s.dispatcher || {};
  const budget = s.budget?.purge;
  const causes = { "token refused": "PurgelineTokenRefused", outage: "PurgelineFastlyAway", throttled: "PurgelineThrottled" };
  return [
    !s.leader && "PurgelineNobodyLeads",
    s.paused && "PurgelinePaused",
    s.stalled && "PurgelineRedisRefuses",
    d.brake && d.brake !== "free" && causes[d.brake_cause],
    s.dead > 0 && "PurgelineDeadLettersGrow",
    s.lanes.urgent.oldest_ms > 60000 && !s.paused && "PurgelineUrgentWaits",
    budget && budget.left < budget.units / 10 && "PurgelineBudgetNearlySpent",
    s.consumers.some((c) => !["running", "full", "paused"].includes(c.state)) && "PurgelineConsumerDown",
    d.canaries?.length > 0 && "PurgelineCanary",
    d.verified_stale > 0 && "PurgelinePagesStayStale",
  ].filter(Boolean);
}

/** What a producer without admin is told of an account. */
function reducedVerdict(s) {
  if (!s.leads) return ["trouble", "nobody sends its purges; they wait"];
  if (s.paused) return ["trouble", "paused; purges are accepted, and wait"];
  if (s.held) return ["slowed", "held by Fastly; it goes on by itself"];
  return ["good", "purges are sent"];
}

/** "web1, process 7" for web1/boot/thread/7/1, as instances are named. */
function leader(name) {
  const [host, , , process] = name.split("/");
  return /^\d+$/.test(process) ? `${host}, process ${process}` : host;
}

// -- one account --------------------------------------------------------------------------------------------------

async function pauseOrResume(s) {
  const account = s.account;
  if (s.paused) {
    await post("v1/resume", { account });
    announce(`${account} sends again.`);
    return;
  }
  const why = h("input", { name: "why", maxlength: 149, autocomplete: "off" });
  await ask(`Pause ${account}?`, [
    h("p", {}, "Nothing more is sent to Fastly. Purges are still accepted, and wait until the account is resumed."),
    field("Reason", why, "Everybody who looks at the status sees it."),
  ], "Pause", async (data) => {
    const told = await post("v1/pause", { account, why: data.get("why") });
    announce(told.holds ? `${account} is paused.` : `${account} is paused; requests in flight are still being finished.`);
  });
}

function lanesTable() {
  const cells = {};
  const table = h("table", {}, h("caption", {}, "Waiting"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Lane"), h("th", { scope: "col", class: "n" }, "Jobs"),
      h("th", { scope: "col", class: "n" }, "Oldest"))),
    h("tbody", {}, LANES.map((lane) => {
      cells[lane] = [h("td", { class: "n" }), h("td", { class: "n" })];
      return h("tr", {}, h("th", { scope: "row" }, lane), cells[lane]);
    })));
  return [table, (s) => LANES.forEach((lane) => {
    const l = s.lanes[lane];
    say(cells[lane][0], number(l.jobs));
    say(cells[lane][1], l.jobs ? duration(l.oldest_ms) : "–");
  })];
}

function budgetBars(s) {
  const perHour = (d) => (d && d !== 3600 ? `left, per ${duration(d * 1000)}` : "left this hour");
  return Object.entries(LEDGERS).filter(([name]) => s.budget?.[name]).map(([name, title]) => {
    const b = s.budget[name];
    if (b.left === undefined) return [h("h3", {}, title), h("p", { class: "small" }, `${number(b.units)} in all; what is left is told by the leader`)];
    const part = b.units ? Math.min(1, b.left / b.units) : 0;
    const level = b.left === 0 ? " none" : part < 0.1 ? " low" : "";
    return [h("h3", {}, title), svg("svg", { class: `bar${level}`, "aria-hidden": "true" },
      svg("rect", { width: `${100 * part}%`, height: "100%", rx: 5 })),
    h("p", { class: "small" }, `${number(b.left)} of ${number(b.units)} ${perHour(b.per_s)}`)];
  });
}

function lastError(d) {
  if (!d) return undefined;
  return d.last_error ? `${duration(d.last_error_age_ms || 0)} ago: ${d.last_error}` : "none since its leader started";
}

function facts(s) {
  const d = s.dispatcher;
  return [
    ["Leader", s.leader ? leader(s.leader) : "nobody"],
    ["Stalled", s.stalled],
    ["Paused", s.paused && `for ${duration(s.paused_ms)}${s.paused_by ? ` by ${s.paused_by}` : ""}${s.paused_why ? `: ${s.paused_why}` : ""}`],
    ["Later", s.later > 0 && count(s.later, "job")],
    ["Dead letters", s.dead > 0 ? s.dead : ""],
    ["Origin", d?.origin_waiting > 0 && `${count(d.origin_waiting, "job")} wait for it${d.origin_seen ? `: ${d.origin_seen}` : ""}`],
    ["Last error", lastError(d)],
    ["Restart", d?.needs_restart && `needed to apply new values of ${d.needs_restart}`],
    ...(d?.canaries || []).map((c) => ["Canary", `${c.what}. ${c.advice}`]),
    ...s.consumers.map((c) => ["Consumer", [`${c.name}: ${CONSUMERS[c.state] || c.state}`, c.lag !== null && `, ${number(c.lag)} waiting`,
      c.oldest_ms > 0 && `, the oldest for ${duration(c.oldest_ms)}`,
      c.state !== "running" && c.last_error && `; ${duration(c.last_error_ms)} ago: ${c.last_error}`].filter(Boolean).join("")]),
  ].filter(([, value]) => value);
}

function accountCard(name, showError) {
  const mood = h("span", { class: "mood" });
  const words = h("span", {});
  const tips = h("ul", { class: "advice" });
  const [lanes, updateLanes] = lanesTable();
  const bars = h("div", {});
  const rest = h("div", {});
  const parts = h("div", { class: "parts" }, lanes, bars, rest);
  const plots = makePlots();
  let now;
  const flip = button("Pause…", async () => {
    try {
      await pauseOrResume(now);
    } catch (error) {
      showError(error);
    }
  });
  flip.append(h("span", { class: "quiet" }, ` ${name}`));
  const title = h("h2", { id: `account-${name}` }, name);
  const element = h("section", { class: "card account", "aria-labelledby": title.id },
    h("div", { class: "head" }, h("div", {}, title, h("p", { class: "verdict" }, mood, words), tips),
      h("div", { class: "buttons" }, flip)),
    parts, plots.element);
  const update = (s) => {
    now = s;
    element.className = `card account ${s.mood || (s.ok ? "good" : "trouble")}`;
    say(mood, MOODS[s.mood] || (s.ok ? MOODS.good : MOODS.trouble));
    say(words, s.verdict || "");
    for (const part of [flip, tips, parts]) part.hidden = Boolean(s.unreadable);
    if (s.unreadable) return; // nothing else is known
    say(flip.firstChild, s.paused ? "Resume" : "Pause…");
    updateLanes(s);
    refill(bars, s.budget, () => budgetBars(s));
    refill(tips, advice(s), () => advice(s).map((section) => h("li", {}, "Runbook: ",
      h("a", { href: `#/runbook/${section.toLowerCase()}` }, section))));
    refill(rest, facts(s), () => [h("h3", {}, "State"), pairs(facts(s).map(([term, value]) =>
      [term, term === "Dead letters" ? h("a", { href: `#/dead?account=${encodeURIComponent(name)}` }, number(value)) : value]))]);
  };
  return { element, update, plots };
}

function reducedCard(name) {
  const mood = h("span", { class: "mood" });
  const words = h("span", {});
  const title = h("h2", { id: `account-${name}` }, name);
  const element = h("section", { class: "card account", "aria-labelledby": title.id }, title, h("p", { class: "verdict" }, mood, words));
  return { element, update: (s) => {
    const [kind, sentence] = reducedVerdict(s);
    element.className = `card account ${kind}`;
    say(mood, MOODS[kind]);
    say(words, sentence);
  } };
}

// -- lately -------------------------------------------------------------------------------------------------------

const job = (e) => h("a", { href: `#/job/${encodeURIComponent(e.job)}?account=${encodeURIComponent(e.account)}` }, e.job);
const NEWS = {
  job: (e) => [`${e.account}: `, job(e), ` ${e.state}`, e.targets > 0 && `, ${count(e.targets, "target")}`, e.ref && ` (${e.ref})`, e.reason && `: ${e.reason}`],
  jobs: (e) => [`${e.account}: ${count(e.ended, "job")} ended within ${duration(e.ms)}; ${number(e.shown)} of them are shown`],
  dead: (e) => [`${e.account}: `, h("a", { href: `#/dead?account=${encodeURIComponent(e.account)}` }, count(e.dead, "dead letter")),
    e.newest && `; the newest: ${e.newest.target}: ${e.newest.reason}`],
  act: (e) => [`${e.account}: ${e.act === "pause" ? "paused" : e.act === "resume" ? "resumed" : e.act}`, e.by && ` by ${e.by}`, e.why && `: ${e.why}`],
  lost: (e) => [e.jobs ? `${count(e.jobs, "event")} were too many for this page` : "what happened in between was not seen"],
};

const newsLine = (e) => h("li", {}, h("span", { class: "when soft" }, time(e.at || e.seenAt)), h("span", {}, (NEWS[e.kind] || (() => [e.kind]))(e)));

// -- the page -----------------------------------------------------------------------------------------------------

const rank = { trouble: 0, slowed: 1, good: 2 };
const rankOf = (s) => rank[s.mood || (s.reduced ? reducedVerdict(s)[0] : "good")];

export function show(main, { self, signal }) {
  const cards = new Map();
  const wrong = h("div", {});
  const list = h("div", {});
  const news = h("ul", { class: "lately" });
  const nothing = h("p", { class: "soft" });
  const lately = h("section", { class: "card", "aria-labelledby": "lately" }, h("h2", { id: "lately" }, "Lately"), nothing, news);
  main.append(wrong, list, lately);
  const showError = (error) => wrong.replaceChildren(h("p", { class: "note wrong", role: "alert" }, error.message));

  const add = (name) => cards.set(name, self.admin ? accountCard(name, showError) : reducedCard(name));
  const update = () => {
    const all = [...live.accounts.values()];
    const fresh = all.filter((s) => !cards.has(s.account));
    fresh.forEach((s) => add(s.account));
    all.forEach((s) => cards.get(s.account).update(s));
    // The worst first; later they keep their places, so that nothing moves under a finger.
    if (fresh.length) list.append(...all.sort((a, b) => rankOf(a) - rankOf(b)).map((s) => cards.get(s.account).element));
  };
  const tell = () => {
    lately.hidden = live.link === "asking" || (live.link === "none" && !live.lately.length);
    say(nothing, live.lately.length ? "" : "Nothing has happened since this page was opened.");
    nothing.hidden = live.lately.length > 0;
    refill(news, live.lately, () => live.lately.map(newsLine));
    if (!self.admin && live.link === "none" && !cards.size) say(list, "The state of the accounts is for producers with admin.");
  };
  live.addEventListener("status", update, { signal });
  live.addEventListener("lately", tell, { signal });
  live.addEventListener("link", tell, { signal });
  update();
  tell();
  if (self.admin) plotHour(cards, signal);
}

/** Asks for the last hour of every account, less often if there are many. */
async function plotHour(cards, signal) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        const hour = await get("v1/status/hour", {}, signal);
        hour.accounts.forEach((a) => cards.get(a.account)?.plots.update(a, hour.step_ms));
      } catch (error) {
        if (signal.aborted || error.status === 404) return;
      }
    }
    await new Promise((resolve) => { setTimeout(resolve, 10000 * Math.max(1, cards.size / 3)); });
  }
}
