// Renders the Markdown that model cards use as DOM nodes. Images are skipped, and HTML is not parsed.

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
  const [headers, rule, ...rows] = lines.map(cells);
  const right = rule.map((mark) => mark.endsWith(":"));
  const cell = (tag, text, column) => el(tag, { scope: tag === "th" ? "col" : null, class: right[column] ? "number" : null }, ...inline(text));
  // An empty header cell is not a header for screen readers.
  const head = headers.map((text, column) => cell(text ? "th" : "td", text, column));
  return el("div", { class: "scrolled", tabindex: "0", role: "region" },
    el("table", {}, el("thead", {}, el("tr", {}, ...head)),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((text, column) => cell("td", text, column)))))));
}

// Each kind of block: its first line, its following lines, and how they are rendered.
const BLOCKS = [
  { starts: /^```/, fenced: true, make: (lines) => el("pre", { tabindex: "0" }, el("code", {}, lines.join("\n"))) },
  {
    starts: /^#{1,6} /, continues: null,
    // The page has an h1 already, so headings move one level down.
    make: ([line]) => el(`h${Math.min(6, line.indexOf(" ") + 1)}`, {}, ...inline(line.replace(/^#+ /, ""))),
  },
  { starts: /^\|/, continues: /^\|/, make: table },
  { starts: /^> ?/, continues: /^> ?/, make: (lines) => el("blockquote", {}, ...render(lines.map((line) => line.replace(/^> ?/, "")).join("\n"))) },
  { starts: /^[-*] /, continues: /^([-*] | +\S)/, make: (lines) => list("ul", lines, /^[-*] /) },
  { starts: /^\d+\. /, continues: /^(\d+\. | +\S)/, make: (lines) => list("ol", lines, /^\d+\. /) },
];
const PARAGRAPH = { continues: /\S/, make: (lines) => paragraph(lines.join(" ")) };

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
export function render(markdown) {
  const lines = markdown.replaceAll("\r", "").split("\n");
  const nodes = [];
  let index = 0;
  while (index < lines.length) {
    if (!lines[index].trim()) {
      index += 1;
      continue;
    }
    const start = index;
    const kind = BLOCKS.find((block) => block.starts.test(lines[start])) ?? PARAGRAPH;
    index += 1;
    if (kind.fenced) {
      while (index < lines.length && !kind.starts.test(lines[index])) index += 1;
      nodes.push(kind.make(lines.slice(start + 1, index)));
      index += 1;
      continue;
    }
    const interrupted = (line) => kind === PARAGRAPH && BLOCKS.some((block) => block.starts.test(line));
    while (index < lines.length && kind.continues?.test(lines[index]) && !interrupted(lines[index])) index += 1;
    nodes.push(kind.make(lines.slice(start, index)));
  }
  return nodes.filter(Boolean);
}

/** Show the model card in `article`, and its table of contents in `contents`. */
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
  article.replaceChildren(...render(await response.text()));
  await insertPlots(article);
  let heading = "Model card";
  for (const node of article.children) {
    if (/^H\d$/.test(node.tagName)) heading = node.textContent;
    if (node.classList.contains("scrolled")) node.setAttribute("aria-label", `Table: ${heading}`);
  }
  numberTables(article);
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

/** Insert the plots after the heading "Results"; a model without a report has none. */
async function insertPlots(article) {
  let figures;
  try {
    figures = plots(await json("model/report"));
  } catch {
    return;
  }
  const results = [...article.querySelectorAll("h3")].find((part) => part.textContent === "Results");
  if (results && figures.length) results.after(el("div", { class: "plots" }, ...figures));
}

/** Give each table a unique label, so that screen readers can distinguish the regions. */
function numberTables(article) {
  const seen = new Map();
  for (const region of article.querySelectorAll(".scrolled")) {
    const label = region.getAttribute("aria-label");
    seen.set(label, (seen.get(label) ?? 0) + 1);
    if (seen.get(label) > 1) region.setAttribute("aria-label", `${label} (${seen.get(label)})`);
  }
}
