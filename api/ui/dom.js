// Building the page's nodes. Text only ever becomes text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function furnish(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Make an HTML element; a child is a node or text. */
export function el(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

/** Set custom properties of a node's style, which the policy allows to a script and not to markup. */
export function vary(node, properties) {
  for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Write a share as a percentage, never more certain than it is. */
export function percent(share, digits = share < 0.1 || share > 0.9 ? 1 : 0) {
  if (share === 0 || share === 1) return `${share * 100}%`;
  const text = (share * 100).toFixed(digits);
  if (Number(text) === 0) return `<${(10 ** -digits).toFixed(digits)}%`;
  if (Number(text) === 100) return `>${(100 - 10 ** -digits).toFixed(digits)}%`;
  return `${text}%`;
}

/** Join words as a sentence does. */
export function listed(words, join = "and") {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${join} ${words.at(-1)}`;
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Fetch JSON of our own gateway; throws where the answer is none. */
export async function json(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}
