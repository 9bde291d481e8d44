// SPDX-License-Identifier: MIT
// One job: where it is, why, and how to cancel it.
import { get, request } from "./api.js";
import { accountField } from "./jobform.js";
import { live } from "./live.js";
import { leader, receipt, timeline } from "./receipt.js";
import { announce, ask, button, field, form, h, note } from "./ui.js";

const AGAIN_MS = 3000;

export function show(main, { self, rest, query, signal, go }) {
  const id = h("input", { name: "job", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  id.value = rest || "";
  main.append(h("div", { class: "card" }, form({}, async (data) => {
    const wanted = data.get("job").trim();
    if (!wanted) throw new Error("The id of a job is missing.");
    go(`#/job/${encodeURIComponent(wanted)}?account=${encodeURIComponent(data.get("account"))}`);
  }, h("div", { class: "fields" }, accountField(self, query.get("account")), field("Id of the job", id, "Like normal-1700000000000-0.")),
  h("div", { class: "buttons" }, h("button", { class: "main" }, "Look it up")))));
  if (rest) watchJob(main, rest, query.get("account") || self.accounts[0]?.name, signal);
}

/** Shows the job and follows it until it has ended. */
function watchJob(main, id, account, signal) {
  const path = `v1/jobs/${encodeURIComponent(id)}`;
  const body = h("div", {});
  const cancel = button("Cancel it …", async () => {
    await ask("Cancel this job?", h("p", {}, "What was already sent to Fastly cannot be taken back."), "Cancel the job", async () => {
      const reply = await request("DELETE", path, { query: { account }, may: [409] });
      announce(reply.status === 409 ? "It had already ended." : "The job is cancelled.");
    }, "danger");
    again();
  }, "danger");
  const buttons = h("div", { class: "buttons", hidden: true }, cancel);
  const title = h("h2", { tabindex: -1 }, id);
  let timer = 0, last = "", tellsEnd = false;
  main.append(h("section", { class: "card" }, title, body, buttons));
  title.focus();

  const again = async () => {
    clearTimeout(timer);
    try {
      const r = await get(path, { account }, signal);
      const text = JSON.stringify(r);
      if (text !== last) body.replaceChildren(...[receipt(r), timeline(r.timeline), leader(r.leader)].flat().filter(Boolean));
      last = text;
      buttons.hidden = r.state !== "waiting";
      if (r.state === "waiting") timer = setTimeout(again, AGAIN_MS);
      else if (tellsEnd) announce(`The job is ${r.state}.`);
      tellsEnd = r.state === "waiting";
    } catch (error) {
      if (signal.aborted) return;
      body.replaceChildren(note(error.message, true));
      buttons.hidden = true;
      if (error.status === 0 || error.status === 503 || error.status === 429) timer = setTimeout(again, Math.max(error.retryMs, AGAIN_MS));
    }
  };
  live.addEventListener("job", (event) => { if (event.detail.job === id) again(); }, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  again();
}
