// SPDX-License-Identifier: MIT
// The runbook, deploy/runbook.md, which is Markdown of a simple kind: headings, paragraphs, lists, `code`, **bold**, *words*.
import { request } from "./api.js";
import { h, note } from "./ui.js";

const INLINE = /`([^`]+)`|\*\*(.+?)\*\*|\*([^*]+)\*|\[([^\]]+)\]\([^)]*\)|<(https:[^>]+)>/g;

function inline(text) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, code, bold, words, named, address] = found;
    parts.push(text.slice(end, found.index));
    if (code) parts.push(h("code", {}, code));
    else if (bold) parts.push(h("b", {}, inline(bold)));
    else if (words) parts.push(h("em", {}, inline(words)));
    else if (address) parts.push(h("a", { href: address, rel: "noreferrer" }, address));
    else parts.push(named);
    end = found.index + whole.length;
  }
  return [...parts, text.slice(end)];
}

function block(text) {
  if (text.startsWith("## ")) return h("h2", { id: `runbook-${text.slice(3).trim().toLowerCase()}`, tabindex: -1 }, text.slice(3));
  if (text.startsWith("# ")) return null;
  if (text.startsWith("* ")) return h("ul", {}, text.split(/\n\* /).map((item) => h("li", {}, inline(item.replace(/^\* /, "").replace(/\s*\n\s*/g, " ")))));
  return h("p", {}, inline(text.replace(/\n/g, " ")));
}

export async function show(main, { rest, signal }) {
  const body = h("div", { class: "runbook" });
  main.append(body);
  try {
    const text = await (await request("GET", "console/runbook.md", { signal, accept: "text/markdown" })).text();
    const blocks = text.split(/\n{2,}/).map((b) => b.trim()).filter(Boolean).map(block).filter(Boolean);
    const titles = blocks.filter((b) => b.tagName === "H2");
    body.append(h("details", {}, h("summary", {}, "All sections"), h("ul", {}, titles.map((t) =>
      h("li", {}, h("a", { href: `#/runbook/${t.textContent.trim().toLowerCase()}` }, t.textContent))))), ...blocks);
    const wanted = titles.find((t) => t.id === `runbook-${rest}`);
    if (wanted) {
      wanted.scrollIntoView();
      wanted.focus();
    }
  } catch (error) {
    if (!signal.aborted) body.append(note(error.message, true));
  }
}
