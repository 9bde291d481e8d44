// SPDX-License-Identifier: MIT
// Plays the console in Chromium. Started by test_console.py, which has started everything else.
//
//     play.mjs                  prints a line "ok - …" or "not ok - …" for each check
//     play.mjs --open           the same for what is different without producers
//     play.mjs --shots FOLDER   only makes the pictures of the README
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const given = JSON.parse(process.env.GIVEN);
const require = createRequire(path.join(process.env.PACKAGES, "package.json"));
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const PATIENCE_MS = 60000; // ten times as long as any step takes on an idle machine
const HTML = "<img/src=x/onerror=alert(1)>"; // also a valid surrogate key
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const ASKED = new Set(); // addresses of all requests of the page
const faults = []; // what must not happen in a page

function ok(good, sentence, ...evidence) {
  console.log(`${good ? "ok" : "not ok"} - ${sentence}`);
  if (!good) evidence.forEach((e) => console.log(`#   ${(typeof e === "string" ? e : JSON.stringify(e)).slice(0, 2000)}`));
}

async function until(what, condition) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

// -- without a browser --------------------------------------------------------------------------------------------

async function api(method, target, body, who = "ops") {
  const reply = await fetch(given.base + target, { method, body: body && JSON.stringify(body),
    headers: { Authorization: `Bearer ${given.tokens[who]}` } });
  return { status: reply.status, json: await reply.json().catch(() => null) };
}

async function push(job) {
  const pushed = await api("POST", "/v1/purge", { account: "main", ...job });
  if (pushed.status !== 202) throw new Error(JSON.stringify(pushed));
  return pushed.json.job;
}

const fault = (words) => fetch(`${given.control}/fault`, { method: "POST", body: new URLSearchParams(words) });
const account = async (name) => (await api("GET", `/v1/status?account=${name}`)).json.accounts[0];
const ended = (job) => until(`${job} has ended`, async () => {
  const told = await api("GET", `/v1/jobs/${job}?account=main`);
  return told.json?.state !== "waiting" && told.json?.state;
});

// -- the browser --------------------------------------------------------------------------------------------------

async function open(folder) {
  const context = await chromium.launchPersistentContext(folder, { executablePath: "/usr/bin/chromium", headless: true, args: ARGS,
    viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", permissions: ["clipboard-read", "clipboard-write"] });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = context.pages()[0];
  page.on("request", (request) => ASKED.add(request.url()));
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    faults.push(`a script of somebody else ran: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });
  return { context, page };
}

/** Presses Tab until the element in focus is what the selector means. */
async function tabTo(page, target, key = "Tab") {
  for (let i = 0; i < 80; i++) {
    if (await target.evaluate((e) => e === document.activeElement).catch(() => false)) return;
    await page.keyboard.press(key);
  }
  throw new Error(`cannot be reached with ${key}: ${target}`);
}

/** Pastes a text, as a user does: typing 20,000 lines takes minutes. */
async function paste(page, target, text) {
  await page.evaluate((t) => navigator.clipboard.writeText(t), text);
  await target.focus();
  await page.keyboard.press("Control+V");
}

const nav = (page, name) => page.getByRole("navigation").getByRole("link", { name, exact: true });

async function goTo(page, name) {
  await nav(page, name).click();
  await page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
}

async function signIn(page, token) {
  await page.goto(`${given.base}/console`);
  const field = page.getByLabel("Token of a producer");
  await field.waitFor();
  await tabTo(page, field);
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
}

const card = (page, name) => page.getByRole("region", { name, exact: true });
const rows = (page) => page.getByRole("row").filter({ has: page.getByRole("button", { name: /^Look/ }) });
const saysSoon = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();

// -- what is played -----------------------------------------------------------------------------------------------

async function signingIn(page) {
  await signIn(page, "not-a-token");
  await page.getByRole("alert").filter({ hasText: "purgeline does not know this token" }).waitFor();
  ok(true, "a wrong token is refused in words");
  const field = page.getByLabel("Token of a producer");
  await tabTo(page, field);
  await page.keyboard.type(given.tokens.ops);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  await card(page, "main").getByText("healthy, nothing waits").waitFor();
  await card(page, "main").getByRole("img", { name: /^(Sent|Waiting|Oldest|Budget left)/ }).nth(3).waitFor();
  ok(true, "four plots show the last hour");
  ok(true, "the keyboard alone signs in, and the overview has a verdict");
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  console.log(`# first paint after ${Math.round(paint)} ms`);
}

async function pausing(page) {
  const main = card(page, "main");
  await tabTo(page, main.getByRole("button", { name: "Pause… main" }));
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Pause main?" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  ok((await account("main")).paused === false, "Escape leaves a dialog, and nothing is done");
  ok(await main.getByRole("button", { name: "Pause… main" }).evaluate((e) => e === document.activeElement), "the focus is back where it was");
  await page.keyboard.press("Enter");
  await page.keyboard.type(HTML);
  await page.keyboard.press("Enter");
  await saysSoon(page, "main is paused");
  await main.getByText(`paused: ${HTML}`).waitFor();
  ok((await account("main")).paused_why === HTML, "an account is paused, with a reason that is shown as text");
  await main.getByRole("link", { name: "PurgelinePaused" }).waitFor();
  const job = await push({ keys: ["article-17"], ref: HTML });
  await main.getByRole("row", { name: /normal 1/ }).waitFor();
  ok(true, "a push arrives, and is seen waiting");
  await main.getByRole("button", { name: "Resume main" }).click();
  await saysSoon(page, "main sends again");
  await main.getByRole("row", { name: /normal 0/ }).waitFor();
  ok(await ended(job) === "purged", "after it was resumed, the push is purged");
  const lately = page.getByRole("region", { name: "Lately" });
  await lately.getByRole("listitem").filter({ hasText: job }).filter({ hasText: "purged" }).filter({ hasText: HTML }).waitFor();
  await lately.getByRole("listitem").filter({ hasText: "main: resumed" }).waitFor();
  ok(await page.getByText("live", { exact: true }).isVisible(), "what happens is seen as it happens");
}

async function burying(page) {
  await fault({ poison: HTML });
  const jobs = [await push({ keys: [HTML], ref: HTML })];
  await fault({ status: 400, kind: "keys,key" });
  for (const key of ["article-1", "article-2", "shop-3"]) jobs.push(await push({ keys: [key] }));
  for (const job of jobs) await ended(job);
  await fault({ status: 0, poison: "" });
  ok((await account("main")).dead === jobs.length, "a fault of Fastly makes dead letters", await account("main"));
}

async function deadLetters(page) {
  await burying(page);
  await card(page, "main").getByRole("link", { name: "4", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Dead letters" }).waitFor();
  await until("four rows", async () => await rows(page).count() === 4);
  ok(true, "they are listed");
  const hostile = rows(page).filter({ hasText: HTML });
  await hostile.getByRole("button", { name: /^Look/ }).click();
  const dialog = page.getByRole("dialog", { name: "Dead letter" });
  await dialog.getByText(HTML).first().waitFor();
  ok(await page.locator("main img, dialog img").count() === 0, "HTML in keys and references is shown as text");
  await dialog.getByRole("button", { name: "Retry" }).click();
  await page.getByRole("dialog", { name: "Retry this dead letter?" }).getByRole("button", { name: "Retry" }).click();
  await saysSoon(page, "1 dead letter retried");
  await until("three rows", async () => await rows(page).count() === 3);
  ok(true, "one is looked at, and retried");
  await page.getByLabel("Who").fill("nobody");
  await page.keyboard.press("Enter");
  await page.getByText("No dead letter matches").waitFor();
  await page.getByLabel("Who").fill("ops");
  await page.getByLabel("Target contains").fill("article-");
  await page.keyboard.press("Enter");
  await page.getByText("by ops", { exact: false }).first().waitFor();
  await until("two rows", async () => await rows(page).count() === 2);
  ok(true, "a filter leaves those that match");
  await page.getByRole("button", { name: "Drop all …" }).click();
  const drop = page.getByRole("dialog", { name: "Drop 2 dead letters?" });
  await drop.getByRole("button", { name: "Cancel" }).click();
  ok((await account("main")).dead === 3, "the confirmation says how many, and can be left");
  await page.getByRole("button", { name: "Drop all …" }).click();
  await fault({ status: 400, kind: "keys,key" });
  await ended(await push({ keys: ["article-9"] })); // it matches, but was not counted
  await fault({ status: 0 });
  await drop.getByRole("button", { name: "Drop 2 dead letters" }).click();
  await saysSoon(page, "2 dead letters dropped");
  ok((await account("main")).dead === 2, "all that were counted are dropped, and no other");
  await page.getByLabel("Target contains").fill("");
  await page.getByLabel("Who").fill("");
  await page.keyboard.press("Enter");
  await until("two rows again", async () => await rows(page).count() === 2);
  await page.getByRole("button", { name: "Retry all …" }).click();
  await page.getByRole("dialog", { name: "Retry 2 dead letters?" }).getByRole("button", { name: "Retry 2 dead letters" }).click();
  await page.getByText("There are no dead letters").waitFor();
  ok((await account("main")).dead === 0, "none is left");
}

async function searchesTheHistory(page) {
  await goTo(page, "History");
  const found = page.getByRole("region", { name: "Jobs that have ended" });
  await found.getByRole("row").filter({ hasText: "article-17" }).first().waitFor();
  await page.getByLabel("Key or URL").fill(HTML);
  await page.keyboard.press("Enter");
  await found.getByRole("heading", { name: "2 jobs, all there are, newest first" }).waitFor();
  const rows = found.getByRole("row").filter({ hasText: HTML });
  ok(await rows.filter({ hasText: "dead" }).count() === 1 && await rows.filter({ hasText: "purged" }).count() === 1,
    "the dead letter and its second try are found in the history");
  await page.getByLabel("Outcome").selectOption("dead");
  await page.getByRole("button", { name: "Search" }).click();
  await found.getByRole("heading", { name: "1 job, all there are, newest first" }).waitFor();
  ok(true, "by outcome, too");
  await page.getByLabel("Outcome").selectOption("");
  await page.getByLabel("Key or URL").fill("");
  await page.getByLabel("Who").fill("nobody");
  await page.keyboard.press("Enter");
  await found.getByText("No job that has ended matches").waitFor();
  await page.getByLabel("Who").fill("ops");
  await page.keyboard.press("Enter");
  await found.getByText("by ops", { exact: false }).first().waitFor();
  ok(true, "by who pushed, too");
  await page.getByLabel("Who").fill("");
  await page.getByLabel("Key or URL").fill("nothing-of-this-name");
  await page.keyboard.press("Enter");
  await found.getByText("No job that has ended matches").waitFor();
  ok(true, "what is not there is not found");
}

async function planning(page) {
  await goTo(page, "Plan");
  const keys = Array.from({ length: 20000 }, (_, i) => `plan-${i}`).join("\n");
  await paste(page, page.getByLabel("Surrogate keys").nth(1), keys);
  await page.getByRole("button", { name: "Show the plan" }).click();
  await page.getByText("It costs 20,000 units").first().waitFor();
  ok(true, "a plan of 20,000 keys tells its cost");
  ok(/through in about/.test(await card(page, "The plan").textContent()), "and when it would be through");
  ok((await account("main")).lanes.normal.jobs === 0, "nothing was pushed");
  await page.getByRole("button", { name: "Show the plan" }).scrollIntoViewIfNeeded();
  await page.getByLabel("Surrogate keys").nth(1).fill("");
  await page.getByRole("button", { name: "Show the plan" }).click();
  await page.getByRole("alert").filter({ hasText: "No key is given" }).waitFor();
  ok(true, "an empty form is refused in words");
}

async function purging(page) {
  await goTo(page, "Purge");
  await tabTo(page, page.getByLabel("Surrogate keys").nth(1));
  await page.keyboard.type("article-17");
  await tabTo(page, page.getByLabel("Reference"));
  await page.keyboard.type(HTML);
  await page.keyboard.press("Enter");
  const receipt = page.locator(".receipt").first();
  await receipt.getByText("purged", { exact: true }).waitFor();
  ok((await receipt.textContent()).includes(HTML), "a purge shows its receipt as it comes");
  await receipt.getByRole("link").click();
  await page.getByRole("heading", { level: 1, name: "Job" }).waitFor();
  await page.getByText("Fastly has confirmed it").waitFor();
  ok(true, "a job can be looked up");
  await api("POST", "/v1/pause", { account: "main", why: "a test" });
  const job = await push({ keys: ["never", HTML] });
  await push({ keys: ["never"] });
  await page.getByLabel("Id of the job").fill(job);
  await page.keyboard.press("Enter");
  const targets = page.getByRole("list", { name: "What its targets wait for" });
  await targets.getByText("waits, as the account is paused; 1 other job waits for it, too").waitFor();
  ok((await targets.getByRole("listitem").allTextContents()).some((text) => text.includes(HTML)), "a job says what its targets wait for");
  await page.setViewportSize({ width: 375, height: 800 });
  await isSound(page, "a job that waits, at 375 px");
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.getByRole("button", { name: "Cancel it …" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel the job" }).click();
  await page.getByText("It was cancelled").waitFor();
  ok(await ended(job) === "cancelled", "a job is cancelled");
  await api("POST", "/v1/resume", { account: "main" });
  await page.getByLabel("Id of the job").fill("not a job");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "expected an id" }).waitFor();
  ok(true, "a wrong id is refused in words");
}

/** The first look at the page is later than the end of the test. */
async function looksAtPages(page) {
  const job = await push({ account: "shop", urls: ["https://www.example.com/looked-at?private"], verify: true });
  await page.goto(`${given.base}/console#/job/${job}?account=shop`);
  await page.getByText("1 target purged, and the pages are looked at, next at").waitFor();
  const target = page.getByRole("list", { name: "What its target waits for" }).getByRole("listitem");
  await target.filter({ hasText: "is purged; its page is looked at at" }).waitFor();
  ok(!(await page.locator("main").textContent()).includes("private"), "a job says that its page is looked at");
  await api("DELETE", `/v1/jobs/${job}?account=shop`);
}

async function showsReloads(page) {
  fs.writeFileSync("p.yaml", fs.readFileSync("p.yaml", "utf8").replace("after_ms: 600000", "after_ms: 599999"));
  process.kill(given.daemon, "SIGHUP");
  await until("the reload is noted", async () => (await api("GET", "/v1/history?account=shop")).json.acts?.length === 1);
  await page.goto(`${given.base}/console#/history?account=shop`);
  const act = page.getByRole("row").filter({ hasText: "Settings reloaded" });
  await act.filter({ hasText: "verify.after_ms 600000 → 599999" }).filter({ hasText: "by instance " }).waitFor();
  ok(true, "a reload is in the history, with what it changed");
}

async function readsTheRunbook(page) {
  await page.goto(`${given.base}/console#/runbook/purgelinepaused`);
  await page.getByRole("heading", { level: 2, name: "PurgelinePaused" }).waitFor();
  await until("the section is in focus", () => page.evaluate(() => document.activeElement.id === "runbook-purgelinepaused"));
  ok(true, "a link leads to its section of the runbook");
}

/** What the first paint waits for: how long it takes depends on the machine. */
async function paintsEarly(page) {
  const blocking = await page.evaluate(() => performance.getEntriesByType("resource")
    .filter((entry) => entry.renderBlockingStatus === "blocking").map((entry) => new URL(entry.name).pathname));
  ok(String(blocking) === "/console/style.css", "the first paint waits for one style sheet, and for no script", blocking);
}

async function byKeyboard(page) {
  await page.goto("about:blank");
  await page.goto(`${given.base}/console`);
  await paintsEarly(page);
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  await page.keyboard.press("Tab");
  ok(await page.evaluate(() => document.activeElement.id === "skip"), "the first stop skips to the content");
  await page.keyboard.press("Enter");
  ok(await page.evaluate(() => document.activeElement.id === "main"), "and does so");
  for (const name of ["Plan", "Purge", "Job", "Dead letters", "Overview"]) {
    await tabTo(page, nav(page, name), "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
    await until("the heading has the focus", () => page.evaluate(() => ["H1", "H2"].includes(document.activeElement.tagName)));
  }
  ok(true, "every page is reached with the keyboard alone, and begins at its heading");
}

/** What a page shows when it has its data. */
const LOADED = { Overview: /healthy, nothing waits/i, "Dead letters": "There are no dead letters", Runbook: "PurgelinePagesStayStale" };

async function isSound(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  ok(!violations.length, `axe finds nothing in ${what}`, ...violations.map((v) => `${v.help}: ${v.nodes.map((n) => n.html).join(" ")}`));
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  ok(beyond <= 0, `${what}: nothing is wider than the page`, beyond);
}

async function isSoundWhileItLoads(page) {
  let letGo;
  const held = new Promise((resolve) => { letGo = resolve; });
  await page.route(/\/v1\/history/, async (route) => { await held; await route.continue(); });
  await goTo(page, "History");
  await isSound(page, "History while it loads");
  letGo();
  await page.getByRole("heading", { name: "newest first" }).waitFor();
  await page.unroute(/\/v1\/history/);
}

async function isAccessible(page, pages) {
  for (const [width, height] of [[1280, 900], [375, 800]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const name of pages) {
        await goTo(page, name);
        if (LOADED[name]) await page.getByText(LOADED[name]).last().waitFor();
        await isSound(page, `${name} at ${width} px, ${colorScheme}`);
      }
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
}

async function keepsTheToken(page, who) {
  const token = given.tokens[who];
  const kept = await page.evaluate(() => ({ html: document.documentElement.outerHTML, url: location.href, cookies: document.cookie,
    local: JSON.stringify({ ...localStorage }), session: JSON.stringify({ ...sessionStorage }),
    values: [...document.querySelectorAll("input, textarea")].map((e) => e.value).join("\n") }));
  for (const where of ["html", "url", "cookies", "local", "values"]) ok(!kept[where].includes(token), `no token in: ${where}`);
  ok(kept.local === "{}" && kept.cookies === "", "nothing outlives the tab");
  ok(kept.session.includes(token), "the tab's own storage has the token");
}

async function costs(page) {
  await goTo(page, "Overview");
  const cpu = () => fs.readFileSync(`/proc/${given.daemon}/stat`, "utf8").split(" ").slice(13, 15).reduce((a, b) => a + Number(b), 0) * 10;
  const session = await page.context().newCDPSession(page);
  let bytes = 0;
  await session.send("Network.enable");
  session.on("Network.dataReceived", (event) => { bytes += event.encodedDataLength || event.dataLength; });
  const seconds = 10, before = cpu(), begin = Date.now();
  await new Promise((resolve) => { setTimeout(resolve, seconds * 1000); }); // what is measured is a rate
  const took = (Date.now() - begin) / 1000;
  console.log(`# one console: ${Math.round(bytes / took)} bytes a second, ${(cpu() - before) / took / 10} % of a core, with idle work`);
  ok(bytes / took <= 10240, "an open console takes at most 10 KB a second", bytes / took);
}

async function aProducer(page) {
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Token of a producer").waitFor();
  ok(await page.evaluate(() => sessionStorage.length === 0), "signing out forgets the token");
  await signIn(page, given.tokens.cms);
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  const names = await page.getByRole("navigation").getByRole("link").allTextContents();
  ok(!names.includes("Dead letters") && names.includes("Purge"), "a producer without admin is offered its own part", names);
  ok(await page.getByRole("button", { name: /Pause|Resume/ }).count() === 0, "and cannot pause");
  await page.goto(`${given.base}/console#/dead`);
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  ok(true, "a page that is not its own is not shown");
  await goTo(page, "Purge");
  ok(await page.getByLabel("URLs").count() === 0 && await page.getByLabel("Account").count() === 0, "only what it may purge is offered");
  await page.getByLabel("Surrogate keys").nth(1).fill("article-17");
  await page.getByRole("button", { name: "Purge", exact: true }).click();
  await page.locator(".receipt").first().getByText("purged", { exact: true }).waitFor();
  ok(true, "it purges");
  for (const [method, target] of [["GET", "/v1/status"], ["GET", "/v1/dead"], ["POST", "/v1/pause"], ["POST", "/v1/dead/drop"]])
    ok((await api(method, target, method === "POST" ? {} : undefined, "cms")).status === 403, `${method} ${target} is refused to it`);
}

async function play(page) {
  await signingIn(page);
  await pausing(page);
  await deadLetters(page);
  await searchesTheHistory(page);
  await planning(page);
  await purging(page);
  await looksAtPages(page);
  await showsReloads(page);
  await readsTheRunbook(page);
  await byKeyboard(page);
  await isSoundWhileItLoads(page);
  await isAccessible(page, ["Overview", "Dead letters", "Job", "Plan", "Purge", "Runbook", "History"]);
  await keepsTheToken(page, "ops");
  await costs(page);
  await aProducer(page);
  await keepsTheToken(page, "cms");
  await page.getByRole("button", { name: "Sign out" }).click();
  await takePictures(page, ".", 1);
  for (const name of ["console.png", "console-phone.png"]) ok(fs.statSync(name).size <= 150 * 1024, `${name} is small`, fs.statSync(name).size);
  const elsewhere = [...ASKED].filter((url) => !url.startsWith(`${given.base}/`));
  ok(!elsewhere.length, "no request leaves the origin", elsewhere);
  ok(![...ASKED].some((url) => Object.values(given.tokens).some((token) => url.includes(token))), "no address has a token");
  ok(!faults.length, "no error, no refusal by the policy, and no script of somebody else", ...faults);
}

/** So that the plots have something to show: waves of purges, and a pause in between. */
async function makeTraffic(seconds) {
  const begin = Date.now();
  let n = 0, paused = false;
  for (;;) {
    const at = (Date.now() - begin) / 1000 / seconds;
    if (at >= 1) break;
    const pause = at > 0.45 && at < 0.65;
    if (pause !== paused) await api("POST", pause ? "/v1/pause" : "/v1/resume", { account: "main" });
    paused = pause;
    const many = Math.round(30 + 28 * Math.sin(at * 20));
    await push({ keys: Array.from({ length: many }, () => `article-${n++}`) });
    await new Promise((resolve) => { setTimeout(resolve, 200); });
  }
  if (paused) await api("POST", "/v1/resume", { account: "main" });
}

/** The pictures of the README: an account that works, and one that is paused. */
async function takePictures(page, folder, seconds) {
  await makeTraffic(seconds);
  await api("POST", "/v1/pause", { account: "shop", why: "the origin is rebuilt" });
  for (const key of ["home", "article-17", "article-18"]) await api("POST", "/v1/purge", { account: "shop", keys: [key], lane: "bulk" });
  await signIn(page, given.tokens.ops);
  await card(page, "shop").getByRole("row", { name: /bulk 3/ }).waitFor();
  const jobs = [];
  for (let i = 1; i <= 6; i++) jobs.push(await push({ keys: [`article-${i}`, "home"], ref: `publish ${i}`, lane: i % 3 ? "normal" : "urgent" }));
  for (const job of jobs) await ended(job);
  await page.getByRole("listitem").filter({ hasText: jobs[5] }).waitFor();
  await card(page, "shop").getByRole("img", { name: /^Budget left/ }).waitFor();
  await page.setViewportSize({ width: 1280, height: 1100 });
  await page.screenshot({ path: path.join(folder, "console.png") });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 375, height: 800 });
  await page.screenshot({ path: path.join(folder, "console-phone.png") });
}

/** Without producers, whoever is at this machine may do everything, and needs no token. */
async function playOpenly(page) {
  await page.goto(`${given.base}/console`);
  await page.getByText("anybody on this machine").waitFor();
  ok(await page.getByRole("button", { name: "Sign out" }).count() === 0, "without producers, nobody has to sign in");
  await card(page, "main").getByRole("button", { name: "Pause… main" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
  await saysSoon(page, "main is paused");
  await card(page, "main").getByRole("button", { name: "Resume main" }).click();
  await saysSoon(page, "main sends again");
  await goTo(page, "Purge");
  await page.getByLabel("Surrogate keys").nth(1).fill("article-17");
  await page.getByRole("button", { name: "Purge", exact: true }).click();
  await page.locator(".receipt").first().getByText("purged", { exact: true }).waitFor();
  ok(true, "and the console may act");
  ok(!faults.length, "there are no errors", ...faults);
}

const { context, page } = await open(given.profile);
const [what, folder] = process.argv.slice(2);
try {
  if (what === "--shots") await takePictures(page, folder, 100);
  else if (what === "--open") await playOpenly(page);
  else await play(page);
} catch (error) {
  await page.screenshot({ path: "failed.png" }).catch(() => {});
  ok(false, "the console can be played", error.stack, page.url(), await page.locator("main").innerText({ timeout: 5000 }).catch(() => ""), ...faults);
}
await context.close();
