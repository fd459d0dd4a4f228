// A small reader of Markdown: what the model card uses of it, as nodes. Pictures are left out, and no HTML is read.

import { el, json } from "./dom.js";
import { plots } from "./plots.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|!\[[^\]]*\]\([^)]*\)|\[([^\]]+)\]\(([^)\s]+)\)/g;
const SAFE_LINK = /^https?:\/\//;

function inline(text) {
  const parts = [];
  let done = 0;
  for (const match of text.matchAll(INLINE)) {
    parts.push(text.slice(done, match.index));
    done = match.index + match[0].length;
    const [, code, strong, label, target] = match;
    if (code) parts.push(el("code", {}, code));
    else if (strong) parts.push(el("strong", {}, ...inline(strong)));
    else if (label) parts.push(SAFE_LINK.test(target) ? el("a", { href: target, rel: "noopener noreferrer" }, label) : label);
  }
  parts.push(text.slice(done));
  return parts.filter((part) => part !== "");
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function table(lines) {
  const [heads, rule, ...rows] = lines.map(cells);
  const right = rule.map((mark) => mark.endsWith(":"));
  const cell = (tag, text, index) => el(tag, { scope: tag === "th" ? "col" : null, class: right[index] ? "number" : null }, ...inline(text));
  // An empty head names nothing, so it is no head.
  const head = heads.map((text, index) => cell(text ? "th" : "td", text, index));
  return el("div", { class: "scrolled", tabindex: "0", role: "region" },
    el("table", {}, el("thead", {}, el("tr", {}, ...head)),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((text, index) => cell("td", text, index)))))));
}

// Each kind of block: which line begins it, which lines go on with it, and what becomes of them.
const BLOCKS = [
  { begins: /^```/, fenced: true, make: (lines) => el("pre", { tabindex: "0" }, el("code", {}, lines.join("\n"))) },
  {
    begins: /^#{1,6} /, goesOn: null,
    // The page has a first heading of its own.
    make: ([line]) => el(`h${Math.min(6, line.indexOf(" ") + 1)}`, {}, ...inline(line.replace(/^#+ /, ""))),
  },
  { begins: /^\|/, goesOn: /^\|/, make: table },
  { begins: /^> ?/, goesOn: /^> ?/, make: (lines) => el("blockquote", {}, ...rendered(lines.map((line) => line.replace(/^> ?/, "")).join("\n"))) },
  { begins: /^[-*] /, goesOn: /^([-*] | +\S)/, make: (lines) => list("ul", lines, /^[-*] /) },
  { begins: /^\d+\. /, goesOn: /^(\d+\. | +\S)/, make: (lines) => list("ol", lines, /^\d+\. /) },
];
const PARAGRAPH = { goesOn: /\S/, make: (lines) => paragraph(lines.join(" ")) };

function paragraph(text) {
  const parts = inline(text);
  return parts.some((part) => typeof part !== "string" || part.trim()) ? el("p", {}, ...parts) : null;
}

function list(tag, lines, mark) {
  const items = [];
  for (const line of lines) {
    if (mark.test(line)) items.push(line.replace(mark, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return el(tag, {}, ...items.map((text) => el("li", {}, ...inline(text))));
}

/** Return the nodes of a Markdown text. */
export function rendered(markdown) {
  const lines = markdown.replaceAll("\r", "").split("\n");
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const begun = at;
    const kind = BLOCKS.find((block) => block.begins.test(lines[begun])) ?? PARAGRAPH;
    at += 1;
    if (kind.fenced) {
      while (at < lines.length && !kind.begins.test(lines[at])) at += 1;
      nodes.push(kind.make(lines.slice(begun + 1, at)));
      at += 1;
      continue;
    }
    const interrupted = (line) => kind === PARAGRAPH && BLOCKS.some((block) => block.begins.test(line));
    while (at < lines.length && kind.goesOn?.test(lines[at]) && !interrupted(lines[at])) at += 1;
    nodes.push(kind.make(lines.slice(begun, at)));
  }
  return nodes.filter(Boolean);
}

/** Show the model card in `article`, and its parts in `contents`. */
export async function showCard(article, contents) {
  let response;
  try {
    response = await fetch("model/card", { headers: { Accept: "text/markdown" } });
  } catch {
    response = null;
  }
  if (!response?.ok) {
    const text = response?.status === 404 ? "This model has no card." : "The model card is unavailable. Reopen this tab later.";
    article.replaceChildren(el("h2", {}, "Model card"), el("p", {}, text));
    return response?.status === 404;
  }
  article.replaceChildren(...rendered(await response.text()));
  await picture(article);
  let heading = "Model card";
  for (const node of article.children) {
    if (/^H\d$/.test(node.tagName)) heading = node.textContent;
    if (node.classList.contains("scrolled")) node.setAttribute("aria-label", `Table: ${heading}`);
  }
  number(article);
  const links = [...article.querySelectorAll("h3")].map((part) => {
    part.tabIndex = -1;
    const link = el("a", { href: "#model" }, part.textContent);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      part.focus({ preventScroll: true });
      part.scrollIntoView({ block: "start" });
    });
    return el("li", {}, link);
  });
  contents.replaceChildren(el("h2", { class: "small-title" }, "Contents"), el("ul", {}, ...links));
  contents.hidden = links.length < 2;
  return true;
}

/** Put the pictures where the results begin; a model without a report has none. */
async function picture(article) {
  let drawn;
  try {
    drawn = plots(await json("model/report"));
  } catch {
    return;
  }
  const results = [...article.querySelectorAll("h3")].find((part) => part.textContent === "Results");
  if (results && drawn.length) results.after(el("div", { class: "plots" }, ...drawn));
}

/** Give each table a name of its own: two regions of one name cannot be told apart by ear. */
function number(article) {
  const seen = new Map();
  for (const region of article.querySelectorAll(".scrolled")) {
    const label = region.getAttribute("aria-label");
    seen.set(label, (seen.get(label) ?? 0) + 1);
    if (seen.get(label) > 1) region.setAttribute("aria-label", `${label} (${seen.get(label)})`);
  }
}
