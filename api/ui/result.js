// Renders a score as text and graphics.

import { el, joinWords, percent, setProperties } from "./dom.js";
import { shortName } from "./form.js";

/** Return what the label set of a record means (see `single_labels` of /model). */
function verdict(labels, record, table, model) {
  if (labels === null || labels === undefined) return "This model does not say which outcomes fit this risk.";
  if (labels.length !== 1) return `Uncertain: the risk fits patients with ${table.outcome.event} and patients without.`;
  return model.single_labels[groupOf(record, table.groups)][labels[0]];
}

/** Return the index of a record's patient group; without groups, all patients are one. */
function groupOf(record, groups) {
  const isIn = (where) => Object.entries(where).every(([name, codes]) => codes.includes(record[name]));
  return Math.max(0, groups.findIndex(isIn));
}

const between = ([low, high]) => `${percent(low)} to ${percent(high)}`;

/** Return a score as one sentence for screen readers. */
export function announcement(score, record, table, model) {
  const interval = score.interval ? `, with a 90% interval of ${between(score.interval)}` : "";
  return `Risk ${percent(score.risk, 1)} of ${table.outcome.text}${interval}. ${verdict(score.label_set, record, table, model)}`;
}

/** Build the nodes for a score. `table` is the response of /fields, `model` that of /model. */
export function renderScore(score, record, table, model) {
  const fields = new Map(table.fields.map((field) => [field.name, field]));
  const name = (field) => (fields.has(field) ? shortName(fields.get(field)) : field);
  return [
    el("div", { class: "headline" },
      el("p", { class: "risk", id: "risk" }, percent(score.risk, 1)),
      el("p", {}, `risk of ${table.outcome.text}`),
      el("p", { class: "population" }, `Trained on ${model.population}. Not validated for other patients.`)),
    scale(score, table.outcome.event),
    ...interval(score),
    el("p", { class: "verdict" }, verdict(score.label_set, record, table, model)),
    ...next(score.measure_next, name),
    ...warnings(score.warnings, fields, model.training_range, name),
    ...reasons(score.reasons, name),
    facts(score, fields.size, name),
  ];
}

function interval(score) {
  if (!score.interval) return [];
  const parts = score.sampling_interval
    ? ` With the same fields, other training patients account for ${between(score.sampling_interval)}; the rest is what the unknown fields could still show.`
    : "";
  return [el("p", { class: "muted small" },
    "The band: were every field measured, and had the model been trained on other patients of the same kind, "
    + `the risk would lie inside in 90 of 100 cases.${parts}`)];
}

function next(fields, name) {
  if (!fields?.length) return [];
  return [
    el("h3", {}, "What to measure next"),
    el("ol", { class: "next" }, ...fields.map((field) => el("li", {}, name(field)))),
    el("p", { class: "muted small" },
      "First what is expected to bring the risk nearest to that with every field known. Indications, costs and risks of the tests are not considered."),
  ];
}

function scale(score, event) {
  const [low, high] = score.interval ?? [];
  const side = score.label ? "at or above" : "below";
  const parts = [
    `Risk of this patient: ${percent(score.risk)}`,
    ...(score.interval ? [`Uncertainty of the risk (90% interval): ${between(score.interval)}`] : []),
    `Threshold, from which the model expects ${event}: ${percent(score.threshold)}. This risk is ${side} it`,
  ];
  const at = (share) => ({ "--at": `${share * 100}%` });
  const track = el("div", { class: "track" });
  if (score.interval) track.append(setProperties(el("div", { class: "band" }), { "--from": `${low * 100}%`, "--to": `${100 - high * 100}%` }));
  track.append(setProperties(el("div", { class: "limit" }), at(score.threshold)), setProperties(el("div", { class: "marker" }), at(score.risk)));
  const ticks = el("div", { class: "ticks" }, ...[0, 0.25, 0.5, 0.75, 1].map((share) => setProperties(el("span", {}, percent(share)), at(share))));
  const legend = el("ul", { class: "legend" },
    el("li", { class: "is-marker" }, parts[0]),
    ...(score.interval ? [el("li", { class: "is-band" }, parts[1])] : []),
    el("li", { class: "is-limit" }, parts.at(-1)));
  return el("div", {},
    el("div", { class: "scale", role: "img", "aria-label": `Scale from 0 to 100%. ${parts.join(". ")}` }, track, ticks), legend);
}

function reasons(found, name) {
  if (!found?.length) return [];
  const most = Math.max(1, ...found.map((reason) => Math.abs(reason.log_odds)));
  const rows = found.map(({ field, log_odds: odds }) => {
    const effect = odds > 0 ? "raises" : odds < 0 ? "lowers" : "leaves";
    const bar = setProperties(el("span", { class: `bar ${effect}` }), { "--size": `${(Math.abs(odds) / most) * 50}%` });
    return el("li", {},
      el("span", { class: "reason-name" }, name(field)),
      el("span", { class: "reason-bar", "aria-hidden": "true" }, bar),
      el("span", { class: "reason-text" }, `${effect} the risk `, el("span", { class: "number" }, `(odds \u00d7 ${Number(Math.exp(odds).toPrecision(2))})`)));
  });
  return [
    el("h3", {}, "What moves this risk most"),
    el("ul", { class: "reasons" }, ...rows),
    el("p", { class: "muted small" }, "Compared with the average patient of training: \u00d7 2 doubles the odds, \u00d7 0.5 halves them. Associations, not causes."),
  ];
}

function warnings(found, fields, ranges, name) {
  if (!found.length) return [];
  const items = found.map(({ code, field }) => {
    if (code === "imputed") return `${name(field)} was not known: an estimate from the training patients stands in for it.`;
    if (code !== "out_of_training_range") return `${name(field)}: ${code.replaceAll("_", " ")}.`;
    const range = ranges[field], unit = fields.get(field)?.unit;
    if (range && range[0] > range[1]) return `${name(field)} was measured in no patient in training: the model does not use it.`;
    const seen = range ? ` (${range[0]} to ${range[1]}${unit ? ` ${unit}` : ""})` : "";
    return `${name(field)} is outside what the model saw in training${seen}: the risk is an extrapolation.`;
  });
  return [el("div", { class: "warnings" }, el("h3", {}, "Take care"), el("ul", {}, ...items.map((text) => el("li", {}, text))))];
}

/** Say what was done about unknown fields. */
function handling({ pattern, missing, warnings: found }, name) {
  if (pattern === "complete") return "with every field";
  if (pattern !== null) {
    const unused = pattern.split("+");
    const named = unused.length === missing.length ? "the unknown fields" : joinWords(unused.map(name));
    return `by a model that was trained without ${named}: no value was assumed for an unknown field`;
  }
  if (found.some(({ code }) => code === "imputed")) return "with estimates from the training patients in place of unknown fields";
  return "by one model, which was trained on records with and without unknown fields";
}

function facts(score, count, name) {
  const rows = [
    ["Unknown", score.missing.length ? score.missing.map(name).join("; ") : `nothing: all ${count} fields are known`],
    ["Calculated", handling(score, name)],
    ["Model", `${score.model.name} ${score.model.version} (${score.model.digest.slice(0, 8)})`],
  ];
  return el("dl", { class: "facts" }, ...rows.flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]));
}
