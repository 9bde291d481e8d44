// SPDX-License-Identifier: MIT
// What purges would cost and when they would be through, before anything is pushed.
import { post } from "./api.js";
import { jobFields, jobsOf } from "./jobform.js";
import { count, duration, form, h, number, pairs, time } from "./ui.js";

const LEDGERS = { purge: "Budget", url: "URL budget", write: "Write budget" };

function exceptions(x) {
  return [
    x.refused > 0 && `${count(x.refused, "job")} would be refused`,
    x.expired > 0 && `${count(x.expired, "job")} would expire first`,
    x.never > 0 && `${count(x.never, "target")} cost more than the budget ever has`,
    x.beyond > 0 && `${count(x.beyond, "target")} are so late that the plan ends before them`,
  ].filter(Boolean);
}

export function planResult(plan) {
  const t = plan.total;
  const warnings = exceptions(plan.exceptions);
  return [
    h("p", {}, h("b", {}, `It costs ${count(t.cost, "unit")}`), t.done_ms === undefined ? "." : ` and is through in about ${duration(t.done_ms)}, at `,
      t.done_at !== undefined && time(t.done_at), t.done_at !== undefined && "."),
    pairs([
      ["Targets", `${number(t.targets)}${t.merged ? `; ${number(t.merged)} of them are merged with others` : ""}`],
      ["Requests", number(t.requests)],
      ...Object.entries(plan.budget).map(([name, b]) => [LEDGERS[name] || name,
        `${number(b.left)} of ${number(b.units)} left now, ${number(b.left_then)} when it is through`]),
      ["Urgent purges", plan.urgent?.worst_ms > 0 && `would wait at most ${duration(plan.urgent.worst_ms)} meanwhile`],
    ]),
    warnings.map((w) => h("p", { class: "note" }, `${w}.`)),
    (plan.errors || []).map((e) => h("p", { class: "note wrong" }, e.error)),
  ];
}

export function show(main, { self, announce, go }) {
  const result = h("div", {});
  main.append(h("p", {}, "Nothing is pushed here. The plan knows the budget that is left, and not what others push in the meantime."),
    h("div", { class: "card" }, form({}, async (data) => {
      result.replaceChildren(h("p", { class: "soft" }, "Planning …"));
      try {
        const jobs = jobsOf(self, data);
        const plan = await post("v1/plan", jobs.map((j) => JSON.stringify(j)).join("\n"), { account: data.get("account") });
        const title = h("h2", { tabindex: -1, id: "the-plan" }, "The plan");
        result.replaceChildren(h("section", { class: "card", "aria-labelledby": title.id }, title, planResult(plan), h("div", { class: "buttons" },
          h("button", { type: "button", onclick: () => go("#/purge") }, "Go on to purge these …"))));
        title.focus();
        announce(`It costs ${count(plan.total.cost, "unit")}.`);
      } catch (error) {
        result.replaceChildren();
        throw error;
      }
    }, jobFields(self, { withRef: false }), h("div", { class: "buttons" }, h("button", { class: "main" }, "Show the plan")))),
    result);
}
