// SPDX-License-Identifier: MIT
// What happens now: the event stream of the API, or, where it is refused, the status every two seconds.
import { get, request, Trouble } from "./api.js";

const ASK_MS = 2000;
const REST_MS = 60000; // a page that nobody has looked at for this long asks for nothing
const LATELY = 30;

/** Fires "status" (an account has a new one), "lately" (something happened), "job" (detail: a job that has ended) and
 *  "link" (the connection). */
class Live extends EventTarget {
  accounts = new Map(); // name: its status, as in GET /v1/status
  instances = [];
  lately = []; // the newest first: { at, kind, ...fields of the event }
  link = "";
  #stop = null;
  #self = null;
  #hiddenTimer = 0;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.#hiddenTimer);
      if (document.hidden) this.#hiddenTimer = setTimeout(() => this.#rest(), REST_MS);
      else if (this.#self && !this.#stop) this.#begin();
    });
  }

  start(self) {
    this.stop();
    this.#self = self;
    this.#begin();
  }

  stop() {
    this.#rest();
    this.#self = null;
    this.accounts.clear();
    this.lately = [];
  }

  #begin() {
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  #rest() {
    if (this.#stop) this.#stop.abort();
    this.#stop = null;
    this.#setLink("");
  }

  #setLink(link) {
    if (this.link === link) return;
    this.link = link;
    this.dispatchEvent(new Event("link"));
  }

  async #run(signal) {
    let streams = true;
    while (!signal.aborted) {
      let waitMs = 3000;
      try {
        if (streams) await this.#stream(signal);
        else waitMs = await this.#poll(signal);
      } catch (error) {
        if (signal.aborted || error.status === 401) return;
        if (error.status === 404) {
          streams = false;
          continue;
        }
        waitMs = Math.max(error.retryMs || 0, waitMs);
        if (error.status === 503) await this.#poll(signal).catch(() => this.#setLink("away"));
        else this.#setLink("away");
      }
      await new Promise((resolve) => { setTimeout(resolve, waitMs); });
    }
  }

  async #poll(signal) {
    if (!this.#self.admin) {
      this.#setLink("none");
      return REST_MS;
    }
    this.#takeStatus(await get("v1/status", {}, signal));
    this.#setLink("asking");
    return ASK_MS;
  }

  async #stream(signal) {
    const reply = await request("GET", "v1/events", { signal, accept: "text/event-stream" });
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    this.#setLink("live");
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Trouble(0, "the stream has ended");
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      events.forEach((text) => this.#takeEvent(text));
    }
  }

  #takeEvent(text) {
    let kind = "", data = "";
    for (const line of text.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (!kind) return;
    const event = JSON.parse(data);
    if (kind === "status") this.#takeStatus(event);
    else if (kind === "redis") this.#setLink(event.state === "away" ? "redis" : "live");
    else if (kind === "end" && event.again === false) window.dispatchEvent(new CustomEvent("unknown-token"));
    else if (kind !== "end") this.#takeNews(kind, event);
  }

  #takeStatus(status) {
    for (const account of status.accounts) this.accounts.set(account.account, account);
    if (status.instances) this.instances = status.instances;
    this.dispatchEvent(new Event("status"));
  }

  #takeNews(kind, event) {
    this.lately = [{ seenAt: Date.now(), kind, ...event }, ...this.lately].slice(0, LATELY);
    this.dispatchEvent(new Event("lately"));
    if (kind === "job") this.dispatchEvent(new CustomEvent("job", { detail: event }));
  }
}

export const live = new Live();
