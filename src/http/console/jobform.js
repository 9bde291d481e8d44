// SPDX-License-Identifier: MIT
// The fields of a purge, for planning and for pushing: which account, what, and how.
import { choice, field, h, select } from "./ui.js";

const TARGETS_MAX = 10000; // of one job
const KINDS = { key: "Surrogate keys", url: "URLs", all: "Everything of a service" };

/** What is in the form, kept while the user goes from the plan to the purge. */
export const draft = { account: "", kind: "", text: "", service: "", lane: "normal", soft: false, ref: "" };

export function accountField(self, chosen, onchange) {
  if (self.accounts.length === 1) return h("input", { type: "hidden", name: "account", value: self.accounts[0].name });
  const control = select("account", self.accounts.map((a) => [a.name, a.name]), chosen || self.accounts[0].name);
  if (onchange) control.addEventListener("change", onchange);
  return field("Account", control);
}

export function jobFields(self, { withRef }) {
  const kinds = Object.entries(KINDS).filter(([kind]) => self.kinds.includes(kind)
    && (kind !== "all" || self.accounts.some((a) => a.purge_all)));
  if (!kinds.some(([kind]) => kind === draft.kind)) draft.kind = kinds[0][0];
  const text = h("textarea", { name: "text", spellcheck: "false", autocapitalize: "off" });
  text.value = draft.text;
  const targets = field("Keys or URLs", text, "One per line.", true);
  const label = targets.querySelector("label");
  const services = h("div", {});
  const softChoice = choice("checkbox", "soft", "1", "Soft: only mark the content as stale", draft.soft);
  const element = h("div", { class: "fields" });

  const fillServices = () => {
    const account = self.accounts.find((a) => a.name === draft.account) || self.accounts[0];
    const options = account.services.map((s) => [s.name, s.name]);
    if (account.default_service && options.length !== 1) options.unshift(["", "the default service"]);
    services.replaceChildren(...(options.length > 1 ? [field("Service", select("service", options, draft.service))] : []));
    services.className = options.length > 1 ? "" : "quiet";
    services.hidden = options.length <= 1 || draft.kind === "url";
  };
  const adapt = () => {
    targets.hidden = draft.kind === "all";
    label.textContent = draft.kind === "url" ? "URLs" : "Surrogate keys";
    softChoice.hidden = draft.kind === "all";
    fillServices();
  };
  element.append(
    accountField(self, draft.account),
    h("fieldset", { class: "field wide" }, h("legend", {}, "What to purge"), h("div", { class: "choices" },
      kinds.map(([kind, words]) => choice("radio", "kind", kind, words, kind === draft.kind)))),
    targets, services,
    field("Lane", select("lane", self.lanes.map((lane) => [lane, lane]), self.lanes.includes(draft.lane) ? draft.lane : self.lanes[0])),
  );
  if (withRef) {
    const ref = h("input", { name: "ref", maxlength: 256, autocomplete: "off" });
    ref.value = draft.ref;
    element.append(field("Reference", ref, "Yours, to find it again. May be empty."));
  }
  element.append(h("div", { class: "field wide" }, softChoice));
  element.addEventListener("input", (event) => {
    const { name, value, checked } = event.target;
    if (name in draft) draft[name] = name === "soft" ? checked : value;
    if (name === "kind" || name === "account") adapt();
  });
  adapt();
  return element;
}

/** The jobs that the form means; more than one if there are too many targets for one. Throws an Error in words. */
export function jobsOf(self, data) {
  const kind = data.get("kind");
  const base = { account: data.get("account"), lane: data.get("lane") };
  if (data.get("service") && kind !== "url") base.service = data.get("service");
  if (data.get("ref")) base.ref = data.get("ref");
  if (kind === "all") return [{ ...base, all: true }];
  const targets = data.get("text").split(/\s+/).filter(Boolean);
  if (!targets.length) throw new Error(kind === "url" ? "No URL is given." : "No key is given.");
  if (data.get("soft")) base.soft = true;
  const jobs = [];
  for (let i = 0; i < targets.length; i += TARGETS_MAX)
    jobs.push({ ...base, [kind === "url" ? "urls" : "keys"]: targets.slice(i, i + TARGETS_MAX) });
  return jobs;
}
