// SPDX-License-Identifier: MIT
// The console: signing in, and which page is shown.
import { get, useToken } from "./api.js";
import * as dead from "./dead.js";
import * as history from "./history.js";
import * as job from "./job.js";
import { live } from "./live.js";
import * as overview from "./overview.js";
import * as plan from "./plan.js";
import * as purge from "./purge.js";
import * as runbook from "./runbook.js";
import { announce, button, field, form, h, note, say } from "./ui.js";

const PAGES = [
  { name: "overview", title: "Overview", show: overview.show },
  { name: "dead", title: "Dead letters", show: dead.show, admin: true },
  { name: "history", title: "History", show: history.show },
  { name: "job", title: "Job", show: job.show },
  { name: "plan", title: "Plan", show: plan.show },
  { name: "purge", title: "Purge", show: purge.show },
  { name: "runbook", title: "Runbook", show: runbook.show, admin: true },
];
const LINKS = {
  live: ["live", "live"], asking: ["live", "every 2 s"], none: ["", "no live view"],
  away: ["away", "no connection; trying again"], redis: ["away", "Redis is away"], "": ["", "at rest"],
};

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const who = document.getElementById("who");
const link = h("span", { class: "link-state" });
let self = null;
let leaving = new AbortController();

const go = (hash) => {
  if (location.hash === hash) route();
  else location.hash = hash;
};
const pagesOf = () => PAGES.filter((page) => self.admin || !page.admin);

function heading(title) {
  const h1 = h("h1", { tabindex: -1 }, title);
  document.title = `${title} – purgeline`;
  main.replaceChildren(h1);
  return h1;
}

/** Shows the page that the address names: #/name/rest?query. */
function route(focus = true) {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const page = pagesOf().find((p) => p.name === name) || PAGES[0];
  leaving.abort();
  leaving = new AbortController();
  const h1 = heading(page.title);
  nav.querySelectorAll("a").forEach((a) => {
    if (a.dataset.page === page.name) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  });
  window.scrollTo(0, 0);
  if (focus) h1.focus();
  let text = rest.join("/");
  try {
    text = decodeURIComponent(text);
  } catch {
    // it is shown as it is, and will not be found
  }
  page.show(main, { self, rest: text, query: new URLSearchParams(query || ""), signal: leaving.signal, announce, go });
}

function enter() {
  nav.replaceChildren(h("ul", {}, pagesOf().map((p) => h("li", {}, h("a", { href: `#/${p.name}`, "data-page": p.name }, p.title)))));
  who.replaceChildren(link, h("span", {}, self.producer), ...(self.token ? [button("Sign out", () => signOut(), "slim")] : []));
  nav.hidden = who.hidden = false;
  live.start(self);
  route(document.activeElement !== document.body);
}

function signOut(why) {
  useToken("");
  self = null;
  live.stop();
  leaving.abort();
  nav.hidden = who.hidden = true;
  nav.replaceChildren();
  document.querySelectorAll("dialog").forEach((d) => d.close());
  showSignIn(why);
}

function showSignIn(why, focus = true) {
  heading("Sign in");
  const token = h("input", { type: "password", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  main.append(h("div", { class: "card signin" }, form({}, async () => {
    const text = token.value.trim();
    if (!text) throw new Error("The token is missing.");
    if (/[^!-~]/.test(text)) throw new Error("A token has no blanks, and only letters, digits and signs of ASCII.");
    token.value = "";
    useToken(text);
    await start((error) => {
      useToken("");
      throw error;
    });
  }, field("Token of a producer", token, "One of the producers of purgeline's configuration. It stays in this tab, and is forgotten when the tab is closed."),
  h("div", { class: "buttons" }, h("button", { class: "main" }, "Sign in"))), why && note(why, true)));
  if (focus) token.focus();
}

/** Asks who we are. Without a token, the answer is yes where none is needed. */
async function start(onTrouble) {
  let told;
  try {
    told = await get("v1/self");
  } catch (error) {
    onTrouble(error);
    return;
  }
  self = told;
  if (self.accounts.length) enter();
  else signOut("This producer may use none of the accounts.");
}

live.addEventListener("link", () => {
  const [kind, words] = LINKS[live.link];
  link.className = `link-state ${kind}`;
  say(link, words);
});
window.addEventListener("hashchange", () => { if (self) route(); });
window.addEventListener("unknown-token", () => { if (self) signOut("purgeline does not know this token any more."); });
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

start((error) => {
  useToken("");
  if (error.status === 401 || error.status === 403) showSignIn();
  else {
    heading("purgeline");
    main.append(note(error.message, true), h("div", { class: "buttons" }, button("Try again", () => location.reload(), "main")));
  }
});
