// Helpers that build DOM nodes. Text stays text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Create an HTML element; a child is a node or text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Create an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Set CSS custom properties of a node; the Content-Security-Policy allows it in scripts, not in markup. */
export function setProperties(node, properties) {
  for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Format a share as a percentage; only exactly 0 and 1 become 0% and 100%. */
export function percent(share, digits = share < 0.1 || share > 0.9 ? 1 : 0) {
  if (share === 0 || share === 1) return `${share * 100}%`;
  const text = (share * 100).toFixed(digits);
  if (Number(text) === 0) return `<${(10 ** -digits).toFixed(digits)}%`;
  if (Number(text) === 100) return `>${(100 - 10 ** -digits).toFixed(digits)}%`;
  return `${text}%`;
}

/** Join words with commas and "and". */
export function joinWords(words, join = "and") {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${join} ${words.at(-1)}`;
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Fetch JSON from the gateway; throws on an error response. */
export async function json(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}
