// Other units of a quantity: what is entered in one is converted to the unit of the feature table.

import { el } from "./dom.js";

const DECIMALS = 6;

/** Round to a whole number, a half to the even one: the gateway rounds quantities of FHIR in the same way. */
function rounded(number) {
  const nearest = Math.round(number);
  return Math.abs(number % 1) === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}

/** Convert a value to the field's unit, as the gateway converts quantities of FHIR. */
export function converted(field, value, factor) {
  return field.whole ? rounded(value * factor) : Number((value * factor).toFixed(DECIMALS));
}

/** Show a value in another unit with the digits that people read; the field itself keeps the exact one. */
const expressed = (field, value, factor) => Number((value / factor).toPrecision(field.whole ? 3 : 4));

/** Write a UCUM code as people do: "umol/L" is µmol/L, "mm[Hg]" mmHg. */
const readable = (unit) => unit.replace(/^u(?=[A-Za-z])/, "\u00b5").replace(/[[\]{}]/g, "");

function calculation(field, value, unit, factor) {
  const exact = Number((value * factor).toFixed(3));
  const result = converted(field, value, factor);
  const rest = field.whole && exact !== result ? `, rounded to ${result}` : "";
  return `${value} ${unit} \u00d7 ${factor} = ${exact} ${field.unit}${rest}.`;
}

/**
 * Build an input for each other unit of a field, which writes to `input`; `name` names the field, `hints` are the ids of
 * what describes it. `update` makes them show the value of `input`.
 */
export function otherUnits(field, input, name, hints) {
  const note = el("p", { class: "hint", id: `${input.id}-calculation`, hidden: true });
  const parts = field.other_units.map(({ unit, factor }, index) => {
    const attributes = { id: `${input.id}-unit-${index}`, type: "number", inputmode: "decimal", step: "any" };
    const label = readable(unit);
    return { factor, label, input: el("input", { ...attributes, "aria-label": `${name} in ${label}`, "aria-describedby": `${note.id} ${hints}` }) };
  });
  const update = (except = null) => {
    const { value, valueAsNumber } = input;
    note.hidden = true;
    for (const part of parts) {
      if (part !== except) part.input.value = value === "" ? "" : expressed(field, valueAsNumber, part.factor);
    }
  };
  for (const part of parts) {
    part.input.addEventListener("input", () => {
      const value = part.input.valueAsNumber;
      input.value = Number.isNaN(value) ? "" : converted(field, value, part.factor);
      update(part);
      if (Number.isNaN(value)) return;
      note.textContent = calculation(field, value, part.label, part.factor);
      note.hidden = false;
    });
  }
  input.addEventListener("input", () => update());
  const rows = parts.map((part) => el("div", { class: "entry" }, part.input, el("span", { class: "unit" }, part.label)));
  return { nodes: parts.length ? [...rows, note] : [], inputs: parts.map((part) => part.input), update };
}
