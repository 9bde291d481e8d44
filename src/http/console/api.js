// SPDX-License-Identifier: MIT
// Requests to purgeline. The token is in memory and in this tab's session storage, and is sent in a header only.

const KEPT = "purgeline-token";
let token = "";

try {
  token = sessionStorage.getItem(KEPT) || "";
} catch {
  // storage is forbidden: the token is gone with the page
}

export function useToken(text) {
  token = text;
  try {
    if (text) sessionStorage.setItem(KEPT, text);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // as above
  }
}

export class Trouble extends Error {
  constructor(status, sentence, retryMs = 0) {
    super(sentence);
    this.status = status;
    this.retryMs = retryMs;
  }
}

const plain = {
  401: "purgeline does not know this token.",
  403: "This token is not allowed to do that.",
  404: "There is nothing of this name.",
  413: "That is too much for one request.",
};

async function troubleOf(reply) {
  const type = reply.headers.get("Content-Type") || "";
  let detail = "";
  if (type.includes("json")) detail = (await reply.json().catch(() => ({}))).detail || "";
  const retryMs = Number(reply.headers.get("Retry-After") || 0) * 1000;
  if (reply.status === 401) detail = plain[401];
  const sentence = detail ? detail[0].toUpperCase() + detail.slice(1) : plain[reply.status] || `purgeline answered with ${reply.status}.`;
  return new Trouble(reply.status, sentence, retryMs);
}

/** The reply to a request, if it is a success; otherwise throws Trouble. Paths are relative to where the page is. */
export async function request(method, path, { query = {}, body, signal, accept = "application/json", may = [] } = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") url.searchParams.set(name, value);
  const headers = { Accept: accept };
  if (token) headers.Authorization = `Bearer ${token}`;
  let reply;
  try {
    reply = await fetch(url, { method, headers, body, signal, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(0, "purgeline does not answer. Perhaps it is restarting, or the network is away.");
  }
  if (reply.ok || may.includes(reply.status)) return reply;
  const trouble = await troubleOf(reply);
  if (trouble.status === 401) window.dispatchEvent(new CustomEvent("unknown-token"));
  throw trouble;
}

export const get = async (path, query, signal) => (await request("GET", path, { query, signal })).json();
export const post = async (path, body, query) =>
  (await request("POST", path, { body: typeof body === "string" ? body : JSON.stringify(body), query })).json();
