// SPDX-License-Identifier: MIT
// Purges something, and shows its receipt as it comes.
import { get, post } from "./api.js";
import { jobFields, jobsOf } from "./jobform.js";
import { live } from "./live.js";
import { receipt, timeline } from "./receipt.js";
import { announce, ask, count, duration, form, h, note } from "./ui.js";

const FIRST_MS = 500, LATER_MS = 5000;

async function isMeant(job) {
  if (!job.all) return true;
  return ask(`Purge everything of ${job.service || "the service"}?`,
    h("p", {}, "All its pages have to come from the origin again. Until its caches have filled, the origin gets all requests."),
    "Purge everything", () => true, "danger");
}

/** Follows one pushed job. */
function follow(list, pushed, signal) {
  const body = h("div", {}, h("p", {}, "Accepted", pushed.eta_ms === null ? "; nothing is sent at the moment" : `; purged in about ${duration(pushed.eta_ms)}`, "."));
  const link = h("a", { href: `#/job/${encodeURIComponent(pushed.job)}?account=${encodeURIComponent(pushed.account)}` }, pushed.job);
  let waitMs = FIRST_MS, timer = 0;
  list.prepend(h("section", { class: "card receipt" }, h("h2", {}, link), body));
  const again = async () => {
    clearTimeout(timer);
    try {
      const r = await get(`v1/jobs/${encodeURIComponent(pushed.job)}`, { account: pushed.account }, signal);
      if (r.state !== "waiting") {
        body.replaceChildren(...receipt(r).filter(Boolean));
        announce(`${count(pushed.targets, "target")}: ${r.state}.`);
        return;
      }
      if (waitMs > 2000) body.replaceChildren(...[receipt(r), timeline(r.timeline)].flat().filter(Boolean));
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 404) {
        body.replaceChildren(note("It has ended. The account keeps no receipt of it."));
        return;
      }
      waitMs = Math.max(waitMs, error.retryMs || 0);
    }
    waitMs = Math.min(waitMs * 1.5, LATER_MS);
    timer = setTimeout(again, waitMs);
  };
  live.addEventListener("job", (event) => { if (event.detail.job === pushed.job) again(); }, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  timer = setTimeout(again, waitMs);
}

export function show(main, { self, signal }) {
  const list = h("div", {});
  main.append(h("div", { class: "card" }, form({}, async (data) => {
    const jobs = jobsOf(self, data);
    if (!(await isMeant(jobs[0]))) return;
    for (const job of jobs) follow(list, await post("v1/purge", job), signal);
    announce(jobs.length === 1 ? "The purge is accepted." : `${jobs.length} jobs are accepted.`);
  }, jobFields(self, { withRef: true }), h("div", { class: "buttons" }, h("button", { class: "main" }, "Purge"),
    h("a", { href: "#/plan" }, "What would it cost?")))), list);
}
