// The area above the form that lists what is wrong; it gets the focus.

import { byId } from "./dom.js";

export function showProblems(title, items) {
  byId("problems-title").textContent = title;
  byId("problems-list").replaceChildren(...items);
  byId("problems").hidden = false;
  byId("problems").focus();
}
