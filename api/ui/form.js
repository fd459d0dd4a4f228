// The form of one patient, built from the feature table.

import { byId, capital, el } from "./dom.js";
import { otherUnits } from "./units.js";

/** Options with more characters than this in total take a row of their own. */
const LONG = 45;

/** Return a short label of a field. */
export const shortName = (field) => capital(field.meaning.replace(/ \(.*\)$/, ""));

/** Return the sections of the form, with fields that are in none of them at the end. */
function sectionsOf(table) {
  const placed = new Set(table.sections.flatMap((section) => section.fields));
  const rest = table.fields.map((field) => field.name).filter((name) => !placed.has(name));
  return [...table.sections, { title: table.sections.length ? "Other" : table.title, fields: rest }].filter((section) => section.fields.length);
}

export class PatientForm {
  /** `table` is the response of /fields; `ranges` has the minimum and maximum of each field in training, if known. */
  constructor(holder, table, ranges) {
    this.holder = holder;
    this.fields = table.fields;
    this.inputs = new Map();
    const named = new Map(this.fields.map((field) => [field.name, field]));
    for (const { title, fields } of sectionsOf(table)) {
      const parts = fields.map((name) => this.#part(named.get(name), ranges[name]));
      holder.append(el("fieldset", { class: "group card" }, el("legend", {}, title), el("div", { class: "grid" }, ...parts)));
    }
    // What a person has changed is no longer from elsewhere.
    holder.addEventListener("input", ({ target }) => this.#unmark(target.closest(".field")?.querySelector(".source")));
  }

  #part(field, range) {
    return field.codes.length ? this.#codes(field) : this.#quantity(field, range);
  }

  #quantity(field, range) {
    const id = `field-${field.name}`;
    const [low, high] = field.limits;
    const hints = `${id}-hint ${id}-source ${id}-error`;
    const input = el("input", {
      id, type: "number", inputmode: "decimal", step: field.whole ? "1" : "any", min: low, max: high,
      "aria-describedby": hints, "aria-required": field.required ? "true" : null, placeholder: field.required ? null : "unknown",
    });
    const others = otherUnits(field, input, shortName(field), hints);
    const isBad = () => [input, ...others.inputs].some((each) => each.validity.badInput);
    const row = el("div", { class: "entry" }, input, el("span", { class: "unit" }, field.unit));
    let unknown = null;
    const write = (value) => {
      input.value = value ?? "";
      others.update();
      if (unknown) unknown.checked = value === null || value === undefined;
    };
    const part = el("div", { class: "field" },
      el("label", { class: "name", for: id }, ...title(field)), row, ...others.nodes,
      el("p", { class: "hint", id: `${id}-hint` }, limitsText(low, high, range)), sourceNode(id),
      el("p", { class: "error", id: `${id}-error`, hidden: true }));
    if (!field.required) {
      unknown = el("input", { type: "checkbox", id: `${id}-unknown`, checked: true, "aria-label": `${shortName(field)} is unknown` });
      row.append(el("label", { class: "unknown", for: `${id}-unknown` }, unknown, "unknown"));
      unknown.addEventListener("change", () => {
        if (unknown.checked) write(null);
        else input.focus();
      });
      part.addEventListener("input", ({ target }) => { if (target !== unknown) unknown.checked = input.value === "" && !isBad(); });
    }
    // Text that is not a number is sent as text, so that the gateway reports it like any other issue.
    const read = () => (isBad() ? "" : input.value === "" ? null : input.valueAsNumber);
    this.inputs.set(field.name, { focus: input, invalidTarget: input, read, write });
    return part;
  }

  #codes(field) {
    const id = `field-${field.name}`;
    const options = field.codes.map(({ code, meaning, note }) => [String(code), meaning, note]);
    if (!field.required) options.push(["", "unknown", null]);
    const radios = options.map(([value, , note], index) => el("input", {
      type: "radio", name: id, value, id: index === 0 ? id : `${id}-${index}`, checked: value === "" && !field.required,
      "aria-describedby": note ? `${id}-note-${index}` : null,
    }));
    const notes = options.flatMap(([, meaning, note], index) => (note
      ? [el("p", { class: "hint", id: `${id}-note-${index}` }, el("strong", {}, capital(meaning)), `: ${note}.`)] : []));
    const length = options.reduce((sum, [, meaning]) => sum + meaning.length, 0);
    const group = el("fieldset", {
      class: length > LONG ? "field wide" : "field", role: "radiogroup", "aria-describedby": `${id}-source ${id}-error`,
      "aria-required": field.required ? "true" : null,
    },
    el("legend", { class: "name" }, ...title(field)),
    el("div", { class: "options" }, ...radios.map((radio, index) => el("label", { class: "option" }, radio, options[index][1]))),
    ...notes, sourceNode(id),
    el("p", { class: "error", id: `${id}-error`, hidden: true }));
    this.inputs.set(field.name, {
      get focus() { return radios.find((radio) => radio.checked) ?? radios[0]; },
      invalidTarget: group,
      read: () => {
        const value = radios.find((radio) => radio.checked)?.value ?? "";
        // A code is sent as the table has it: a number or a text.
        return field.codes.find(({ code }) => String(code) === value)?.code ?? null;
      },
      write: (value) => { for (const radio of radios) radio.checked = radio.value === String(value ?? ""); },
    });
    return group;
  }

  /** Return the patient record of the form. Its id is a constant: the page knows no patient id. */
  record() {
    const record = { patient_id: "page" };
    for (const field of this.fields) record[field.name] = this.inputs.get(field.name).read();
    return record;
  }

  /** Fill the form; omitted fields become unknown. Dispatches "filled". */
  fill(values) {
    this.clearErrors();
    for (const [name, input] of this.inputs) {
      input.write(values[name]);
      this.#unmark(byId(`field-${name}-source`));
    }
    this.holder.dispatchEvent(new Event("filled", { bubbles: true }));
  }

  /** Say at a field where its value is from. */
  mark(name, source) {
    const node = byId(`field-${name}-source`);
    node.textContent = source;
    node.hidden = false;
  }

  /** Return how many fields still have a value from elsewhere. */
  markedCount() {
    return this.fields.filter(({ name }) => !byId(`field-${name}-source`).hidden).length;
  }

  #unmark(node) {
    if (!node) return;
    node.textContent = "";
    node.hidden = true;
  }

  /** Return the required fields without an answer. */
  unanswered() {
    return this.fields.filter((field) => field.required && this.inputs.get(field.name).read() === null);
  }

  clearErrors() {
    for (const [name, input] of this.inputs) {
      byId(`field-${name}-error`).hidden = true;
      input.invalidTarget.removeAttribute("aria-invalid");
    }
  }

  /** Show each validation issue at its field; return one list item per issue for the summary. */
  showIssues(issues) {
    this.clearErrors();
    return issues.map((issue) => {
      const name = issue.pointer.slice(1);
      // The form says "unknown" where a record has null.
      const message = issue.message.replace(/, or null if it was not measured/, ", or unknown");
      const input = this.inputs.get(name);
      if (!input) return el("li", {}, capital(message));
      const errorNode = byId(`field-${name}-error`);
      errorNode.textContent = capital(message);
      errorNode.hidden = false;
      input.invalidTarget.setAttribute("aria-invalid", "true");
      const field = this.fields.find((each) => each.name === name);
      const link = el("a", { href: "#score" }, `${shortName(field)}: ${message}`);
      link.addEventListener("click", (event) => {
        event.preventDefault();
        input.focus.focus();
      });
      return el("li", {}, link);
    });
  }
}

function limitsText(low, high, range) {
  const accepted = `Accepted: ${low} to ${high}`;
  if (!range) return `${accepted}.`;
  return `Training patients: ${range[0] > range[1] ? "not measured" : `${range[0]} to ${range[1]}`}. ${accepted}.`;
}

const sourceNode = (id) => el("p", { class: "source", id: `${id}-source`, hidden: true });

function title(field) {
  const marks = [capital(field.meaning), " ", el("code", {}, field.name)];
  return field.required ? [...marks, " ", el("span", { class: "required" }, "required")] : marks;
}
