// SPDX-License-Identifier: MIT
// What a job has become, and why it is where it is.
import { count, duration, h, pairs, time } from "./ui.js";

export const STATES = {
  waiting: "It waits, or is being sent.", purged: "It is purged: Fastly has confirmed it.",
  dead: "It was given up, and is a dead letter.", expired: "It expired before it could be sent.",
  cancelled: "It was cancelled.", ended: "It has ended; the account keeps no receipts.",
};
export const moodOf = (state) => ({ purged: "good", dead: "trouble", expired: "trouble", malformed: "trouble" }[state] || "slowed");

const POSTPONED = { not_before: "as its producer wants", retry: "to be tried again", repeat: "as it is a repetition", when: "until its origin shows the new version" };

const STEPS = {
  accepted: (s) => [time(s.at), ": accepted, and stored in Redis"],
  postponed: (s) => [`not before `, s.until !== undefined ? time(s.until) : "some time", `: ${POSTPONED[s.why] || s.why || "postponed"}`],
  paused: (s) => ["the account is paused", s.at !== undefined && [" since ", time(s.at)], s.by && ` by ${s.by}`, s.why && `: ${s.why}`],
  held: (s) => ["Fastly wants nothing now", s.until !== undefined && [", until ", time(s.until)], s.why && `: ${s.why}`],
  nobody_leads: () => ["no instance sends for this account"],
  lane: (s) => [`in the lane ${s.lane}`, s.before !== undefined && `, ${s.before_capped ? "at least " : ""}${count(s.before, "job")} before it`],
  budget: (s) => ["waits for the budget, until about ", time(s.until)],
  origin: (s) => ["waits until its origin shows the new version: ", s.url],
  merged: (s) => [`${count(s.targets, "target")} merged into purges of other jobs`],
  sent: (s) => [`${count(s.targets, "target")} on the way to Fastly`],
  judged: (s) => [`Fastly's last answer: ${s.status}`, s.reason && `, ${s.reason}`, s.tries > 1 && ` (${s.tries} tries)`],
  next_try: (s) => ["tried again at ", time(s.at)],
  ended: (s) => [s.at !== undefined && [time(s.at), ": "], s.state || "ended"],
};

export const timeline = (steps) => steps?.length > 0 && h("ol", { class: "timeline", "aria-label": "What has happened to it" },
  steps.map((s) => h("li", {}, (STEPS[s.step] || (() => [s.step]))(s))));

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
      ["Reason", r.reason],
      ["Waits for", r.origin],
      ["Failed services", r.failed_services?.join(", ")],
      ["Verified", r.verified && `${r.verified}${r.repairs ? `, purged again ${count(r.repairs, "time")}` : ""}${r.verified_why ? `: ${r.verified_why}` : ""}`],
    ]),
  ];
}
