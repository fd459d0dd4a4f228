// Filling the form in from a FHIR Bundle: the gateway reads it, and a person answers what no record system has.

import { byId, el, joinWords } from "./dom.js";
import { shortName } from "./form.js";
import { showProblems } from "./problems.js";

const SOURCE = "urn:heartstream:fhir:source";
const UNCHANGED = "the form is unchanged";

/** Return the answer of an item as the form has it: no and yes are the first and the second code of a field. */
function valueOf(item, table) {
  const [{ valueBoolean, valueCoding, valueInteger, valueDecimal }] = item.answer;
  if (valueBoolean === undefined) return valueCoding?.code ?? valueInteger ?? valueDecimal;
  return table.fields.find(({ name }) => name === item.linkId).codes[Number(valueBoolean)].code;
}

/** Say where an answer is from: "FHIR, 2025-09-02". */
function originOf(item) {
  const parts = item.extension?.find(({ url }) => url === SOURCE)?.extension ?? [];
  const part = (name) => parts.find(({ url }) => url === name);
  if (part("kind")?.valueCode === "Patient") return "FHIR, Patient";
  const period = part("period")?.valuePeriod;
  if (!period) return "FHIR, without a date";
  return `FHIR, ${period.start === period.end ? period.start : `${period.start} to ${period.end}`}`;
}

/** Return all questions with an answer, of whatever group. */
function answered(items = []) {
  return items.flatMap((item) => [...(item.answer?.length ? [item] : []), ...answered(item.item)]);
}

function showErrors(response, outcome) {
  const errors = (outcome?.issue ?? []).filter(({ severity }) => severity !== "information");
  const items = errors.map(({ details, expression }) => el("li", {},
    details?.text ?? "Unexpected error", ...(expression ? [" ", el("code", {}, expression[0])] : [])));
  const wait = response.headers.get("Retry-After");
  if (wait) items.push(el("li", {}, `Try again in ${wait} s.`));
  showProblems(`The Bundle cannot be used (status ${response.status}); ${UNCHANGED}.`, items);
}

async function populate(bundle, path) {
  const body = typeof bundle === "string" || bundle instanceof Blob ? bundle : JSON.stringify(bundle);
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/fhir+json" }, body });
  return [response, await response.json()];
}

/** Say how many fields are from the Bundle, and which required ones are open; only a new text is announced. */
function showProgress(form) {
  const missing = form.unanswered().map(shortName);
  const rest = missing.length ? `Still to answer: ${joinWords(missing)}.` : "Every required field has an answer.";
  const text = `${form.markedCount()} of ${form.fields.length} fields are filled in from the Bundle. ${rest}`;
  if (byId("filled").textContent !== text) byId("filled").textContent = text;
}

function showNotes(notes) {
  byId("bundle-notes-title").textContent = `What was read and passed over: ${notes.length} notes`;
  byId("bundle-notes-list").replaceChildren(...notes.map((note) => el("li", {}, note)));
  byId("bundle-notes").hidden = false;
}

function clearFilled() {
  byId("filled").textContent = "";
  byId("bundle-notes").hidden = true;
}

/**
 * Fill `form` in with what a Bundle has: its text, an object or a file. `table` is the response of /fields.
 * Returns whether it could be read; if not, the form is unchanged, and the problems are shown.
 */
export async function fillFromBundle(bundle, form, table) {
  let response;
  let parameters;
  try {
    [response, parameters] = await populate(bundle, table.fhir.populate);
  } catch {
    showProblems(`Unexpected response from the gateway, or none; ${UNCHANGED}.`, []);
    return false;
  }
  if (!response.ok) {
    showErrors(response, parameters);
    return false;
  }
  const resource = (wanted) => parameters.parameter.find(({ name }) => name === wanted).resource;
  const items = answered(resource("response").item);
  byId("problems").hidden = true;
  form.fill(Object.fromEntries(items.map((item) => [item.linkId, valueOf(item, table)])));
  for (const item of items) form.mark(item.linkId, originOf(item));
  showProgress(form);
  showNotes(resource("issues").issue.map(({ details }) => details.text));
  const [open] = form.unanswered();
  if (open) form.inputs.get(open.name).focus.focus();
  return true;
}

/** Show the part of the page that takes a Bundle, if the feature table can be sent as FHIR. */
export function connectBundle(form, table) {
  if (!table.fhir) return;
  const area = byId("bundle-area");
  const input = byId("bundle");
  const read = (file) => file && fillFromBundle(file, form, table);
  area.hidden = false;
  // So that the same file can be chosen again.
  input.addEventListener("click", () => { input.value = ""; });
  input.addEventListener("change", () => read(input.files[0]));
  const over = (event, isOver) => {
    event.preventDefault();
    area.classList.toggle("over", isOver);
  };
  area.addEventListener("dragover", (event) => over(event, true));
  area.addEventListener("dragleave", (event) => over(event, false));
  area.addEventListener("drop", (event) => {
    over(event, false);
    read(event.dataTransfer.files[0]);
  });
  byId("fields").addEventListener("filled", clearFilled);
  byId("fields").addEventListener("input", () => { if (byId("filled").textContent) showProgress(form); });
}
