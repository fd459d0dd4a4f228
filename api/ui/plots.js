// The model card's plots, drawn from the evaluation report.

import { el, percent, svg } from "./dom.js";

const SIDE = 300;
const EDGE = { left: 46, bottom: 40, top: 8, right: 20 };

const toX = (share) => EDGE.left + share * (SIDE - EDGE.left - EDGE.right);
const toY = (share) => SIDE - EDGE.bottom - share * (SIDE - EDGE.bottom - EDGE.top);
const text = (x, y, words, attributes = {}) => svg("text", { x, y, ...attributes }, words);

function figure(title, description, caption, picture) {
  return el("figure", { class: "plot" }, el("h4", {}, title),
    el("div", { role: "img", "aria-label": description }, picture), el("figcaption", { class: "muted small" }, caption));
}

/** Calibration: the share of patients with the outcome by predicted risk; null if the report does not have it. */
function calibration(report) {
  const bins = report.full?.curves.calibration;
  if (!bins?.length) return null;
  const marks = bins.map(({ risk, share }) => svg("g", { class: "one" },
    svg("line", { x1: toX(risk), x2: toX(risk), y1: toY(share.low), y2: toY(share.high) }),
    svg("circle", { cx: toX(risk), cy: toY(share.value), r: 4 })));
  const steps = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    text(toX(share), SIDE - EDGE.bottom + 16, percent(share), { "text-anchor": "middle" }),
    text(EDGE.left - 6, toY(share) + 4, percent(share), { "text-anchor": "end" }),
  ]);
  const picture = svg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, "aria-hidden": "true" },
    svg("path", { class: "frame", d: `M${toX(0)} ${toY(1)}V${toY(0)}H${toX(1)}` }),
    svg("line", { class: "ideal", x1: toX(0), y1: toY(0), x2: toX(1), y2: toY(1) }), ...marks, ...steps,
    text(toX(0.5), SIDE - 6, "predicted risk", { "text-anchor": "middle" }));
  const summary = bins.map(({ risk, share }) => `${percent(risk)}: ${percent(share.value)}`).join("; ");
  return figure("Calibration", `Share with the outcome by predicted risk. ${summary}`,
    "Share of patients with the outcome by predicted risk, out of fold, with 95% intervals. The dashed line is perfect calibration.", picture);
}

/** Sensitivity by missing fields, of this model and of the usual pipeline at the same specificity. */
function missing(report) {
  const rows = Object.entries(report.missing_fields ?? {});
  const best = report.selection?.best;
  const ours = (name) => report.missing_fields[name][best]?.figures ?? {};
  const theirs = (name) => report.baseline_at_equal_specificity?.[name]?.performance.figures ?? {};
  if (!rows.length || !rows.every(([name]) => ours(name).recall && ours(name).specificity && theirs(name).recall)) return null;
  const width = 352;
  const height = 34 + rows.length * 27;
  const xOf = (share) => 130 + share * (width - 152);
  const series = ({ value, low, high }, kind, y) => {
    return svg("g", { class: kind }, svg("line", { x1: xOf(low), x2: xOf(high), y1: y, y2: y }), svg("circle", { cx: xOf(value), cy: y, r: 4 }));
  };
  const lines = rows.flatMap(([name], index) => {
    const y = 16 + index * 27;
    return [text(123, y + 5, name === "none" ? "nothing" : name, { "text-anchor": "end" }),
      series(ours(name).recall, "one", y - 4), series(theirs(name).recall, "other", y + 5)];
  });
  const steps = [0, 0.25, 0.5, 0.75, 1].map((share) => text(xOf(share), height - 4, percent(share), { "text-anchor": "middle" }));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    svg("path", { class: "frame", d: `M${xOf(0)} 4V${height - 20}H${xOf(1)}` }), ...lines, ...steps);
  const summary = rows.map(([name]) => `${name}: ${percent(ours(name).recall.value)}, usual ${percent(theirs(name).recall.value)}, `
    + `both at a specificity of ${percent(ours(name).specificity.value)}`).join("; ");
  return figure("Where fields are missing", `Sensitivity by missing fields. ${summary}`,
    el("span", {}, el("span", { class: "key one-key" }, "this model"), el("span", { class: "key other-key" }, "the usual pipeline (median and mode)"),
      "Sensitivity with 95% intervals, by missing fields. The usual pipeline is shown at the threshold where its specificity equals this model's."), picture);
}

/** Return the plots for which the report has data. */
export function plots(report) {
  return [calibration(report), missing(report)].filter(Boolean);
}
