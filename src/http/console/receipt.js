// SPDX-License-Identifier: MIT
// What a job has become, and why it is where it is.
import { count, duration, h, note, number, pairs, time } from "./ui.js";

export const STATES = {
  waiting: "It waits, or is being sent.", purged: "It is purged: Fastly has confirmed it.",
  dead: "It was given up, and is a dead letter.", expired: "It expired before it could be sent.",
  cancelled: "It was cancelled.", ended: "It has ended; the account keeps no receipts.",
};
export const moodOf = (state) => ({ purged: "good", dead: "trouble", expired: "trouble", malformed: "trouble" }[state] || "slowed");

const POSTPONED = { not_before: "as its producer wants", retry: "to be tried again", repeat: "as it is a repetition", when: "until its origin shows the new version" };

const some = (n, capped, one) => `${capped ? "at least " : ""}${count(n, one)}`;
const answer = (s) => [s.status, s.reason].filter(Boolean).join(", ");

const STEPS = {
  accepted: (s) => [time(s.at), ": accepted, and stored in Redis"],
  postponed: (s) => [`not before `, s.until !== undefined ? time(s.until) : "some time", `: ${POSTPONED[s.why] || s.why || "postponed"}`],
  paused: (s) => ["the account is paused", s.why && `: ${s.why}`],
  stuck: () => ["Redis refuses what the leader needs"],
  held: (s) => ["Fastly wants nothing now", s.until !== undefined && [", until ", time(s.until)], s.why && `: ${s.why}`,
    s.reason && `; its answer: ${s.reason}`],
  nobody_leads: () => ["no instance sends for this account"],
  lane: (s) => [`in the lane ${s.lane}`, s.before !== undefined && `, ${some(s.before, s.before_capped, "target")} before its last one`],
  budget: (s) => ["waits for the budget, until about ", time(s.until)],
  origin: (s) => ["waits until its origin shows the new version: ", s.url, s.seen && `; seen last: ${s.seen}`,
    s.at !== undefined && ["; asked again at ", time(s.at)], s.until !== undefined && ["; given up at ", time(s.until)]],
  merged: (s) => [`${count(s.targets, "target")} merged with those of `, s.jobs === undefined ? "other jobs" : some(s.jobs, s.jobs_capped, "other job")],
  unread: () => ["not read yet, as there is no room in memory"],
  sent: (s) => [`${count(s.targets, "target")} on the way to Fastly`, s.at !== undefined && [", since ", time(s.at)]],
  judged: (s) => [`${count(s.targets, "target")} to be tried again; Fastly's last answer: ${answer(s)} (${count(s.tries, "try", "tries")})`],
  next_try: (s) => ["tried again at ", time(s.at)],
  checked: (s) => [`${count(s.targets, "target")} purged, and the pages are looked at`, s.at !== undefined && [", next at ", time(s.at)]],
  ended: (s) => [s.at !== undefined && [time(s.at), ": "], s.state || "ended", s.purge_id && [", by the purge to which Fastly gave the id ", h("code", {}, s.purge_id)]],
};

export const timeline = (steps) => steps?.length > 0 && h("ol", { class: "timeline", "aria-label": "What has happened to it" },
  steps.map((s) => h("li", {}, (STEPS[s.step] || (() => [s.step]))(s))));

const WHY = {
  turn: "waits for others that go before it", paused: "waits, as the account is paused", held: "waits, as Fastly wants nothing now",
  lease: "waits until Redis confirms who leads", service: "waits, as Fastly did not know its service", purge_all: "waits for another purge of everything",
  lingers: "waits for more keys to be sent with it", answers: "waits for answers to other requests", budget: "waits for the budget",
};

const TARGET = {
  waiting: (t) => [WHY[t.why] || "waits", t.until !== undefined && [", until about ", time(t.until)], t.before > 0 && `; ${some(t.before, t.before_capped, "target")} before it`],
  retry: (t) => [`is tried again`, t.at !== undefined && [" at ", time(t.at)], `; Fastly's last answer: ${answer(t)}`],
  sent: (t) => ["is on the way to Fastly", t.at !== undefined && [", since ", time(t.at)]],
  checked: (t) => ["is purged; its page is looked at", t.at !== undefined && [" at ", time(t.at)]],
  unknown: () => ["too many jobs wait to tell"],
};

/** What the memory of the leading instance knows of the job's targets, or who leads. */
export function leader(l) {
  if (!l || l.soon) return null;
  if (!l.here) return note(`This instance does not send for the account.${l.instance ? ` ${l.instance} does, and knows more.` : " The one that does knows more."}`);
  if (!l.shown?.length) return null;
  const head = h("h3", { id: "targets" }, `What its ${l.targets === 1 ? "target waits" : "targets wait"} for`);
  const left = [l.more > 0 && `${number(l.more)} more wait`, l.done > 0 && `${number(l.done)} of ${number(l.targets)} are done`].filter(Boolean).join("; ");
  return [head, h("ul", { class: "targets", "aria-labelledby": "targets" }, l.shown.map((t) => h("li", {},
    t.kind === "all" ? "everything" : h("code", {}, t.target), t.service && ` of ${t.service}`, " ", (TARGET[t.state] || (() => [t.state]))(t),
    t.jobs > 0 && `; ${some(t.jobs, t.jobs_capped, "other job")} wait${t.jobs === 1 ? "s" : ""} for it, too`))),
  left && h("p", {}, `${left}.`)];
}

export function receipt(r) {
  const accepted = /^[a-z]+-(\d+)-/.exec(r.job);
  return [
    h("p", {}, h("span", { class: `mood ${moodOf(r.state)}` }, r.state), ` – ${STATES[r.state] || ""}`),
    pairs([
      ["Job", h("code", {}, r.job)],
      ["Accepted", accepted && time(Number(accepted[1]))],
      ["Ended", r.at && time(r.at)],
      ["It took", r.at && accepted && r.at >= Number(accepted[1]) && duration(r.at - Number(accepted[1]))],
      ["Targets", r.targets],
      ["Reference", r.ref],
      ["Pushed by", r.by],
      ["Reason", r.reason],
      ["Waits for", r.origin],
      ["Failed services", r.failed_services?.join(", ")],
      ["Verified", r.verified && `${r.verified}${r.repairs ? `, purged again ${count(r.repairs, "time")}` : ""}${r.verified_why ? `: ${r.verified_why}` : ""}`],
    ]),
  ];
}
