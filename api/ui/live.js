// The live view: draws one snapshot of the stream per second.

import { byId, capital, el, percent, setProperties, svg } from "./dom.js";

const PATH = "stream/events";

const whole = new Intl.NumberFormat("en-GB");
const rounded = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });

function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

const words = (code) => capital(code.replaceAll("_", " ").replace("json", "JSON").replace("utf8", "UTF-8"));

export class LiveView {
  constructor(threshold) {
    this.threshold = threshold;
    this.source = null;
    this.paused = false;
    byId("pause").addEventListener("click", () => this.#pause(!this.paused));
  }

  /** Subscribe to the live stream; shows why if the gateway does not offer it. */
  async start() {
    if (this.source) return;
    let offer;
    try {
      const response = await fetch("stream");
      offer = response.ok ? await response.json() : null;
    } catch {
      offer = null;
    }
    if (!offer) return this.#showUnavailable("The gateway cannot be reached.", "Is it running? Open this tab again when it is.");
    if (!offer.live) return this.#showDisabled();
    if (this.source || byId("live").hidden) return;
    this.#setState("Connecting", "waiting");
    this.source = new EventSource(PATH);
    this.source.addEventListener("message", (event) => this.#show(JSON.parse(event.data)));
    this.source.addEventListener("error", () => this.#connectionFailed());
  }

  stop() {
    this.source?.close();
    this.source = null;
  }

  #connectionFailed() {
    if (this.source?.readyState !== EventSource.CLOSED) return this.#setState("Connection lost; trying again", "waiting");
    // The browser does not reconnect after a status other than 200, and does not report the status.
    this.stop();
    this.#showUnavailable("The live stream is unavailable.", "There may be too many viewers. Reopen this tab later.");
  }

  #showDisabled() {
    this.#showUnavailable("The live view is switched off.",
      "It reads the topics of scores, dead letters and patients. To enable it, start the gateway with:",
      "HEARTSTREAM_GATEWAY__LIVE=true");
  }

  #showUnavailable(title, text, setting) {
    const parts = [el("h3", {}, title), el("p", {}, text)];
    if (setting) parts.push(el("pre", {}, el("code", {}, setting)));
    byId("live-off").replaceChildren(...parts);
    byId("live-off").hidden = false;
    byId("live-view").hidden = byId("pause").hidden = true;
    this.#setState("", "");
  }

  #pause(paused) {
    this.paused = paused;
    byId("pause").setAttribute("aria-pressed", String(paused));
    this.#setState(paused ? "Paused" : "Live", paused ? "waiting" : "live");
  }

  #setState(text, kind) {
    const state = byId("live-state");
    if (state.textContent !== text) state.textContent = text;
    state.dataset.kind = kind;
  }

  #show(snapshot) {
    if (this.paused) return;
    const view = byId("live-view");
    if (!view.childElementCount) this.#build(view);
    byId("live-off").hidden = true;
    view.hidden = byId("pause").hidden = false;
    this.#setState(snapshot.connected ? "Live" : "The broker is not responding", snapshot.connected ? "live" : "waiting");
    this.#tiles(snapshot);
    this.#rate(snapshot.rate);
    this.#risks(snapshot);
    this.#deadLetters(snapshot.dead_letter_codes);
    this.#last(snapshot.last);
  }

  #build(view) {
    const tile = (id, label, note) => el("div", { class: "tile card" },
      el("dt", {}, label), el("dd", {}, el("span", { class: "figure", id: `live-${id}` }), el("span", { class: "muted small", id: `live-${id}-note` }, note)));
    const part = (kind, title, ...children) => el("section", { class: `card ${kind}` }, el("h3", {}, title), ...children);
    const picture = (id, low, high) => [
      el("div", { class: "picture", id, role: "img" }),
      el("div", { class: "axis" }, ...[low, ...(id === "live-risks" ? ["25%", "50%", "75%"] : []), high].map((text) => el("span", {}, text))),
    ];
    const headers = ["Risk", "Threshold", "Unknown fields", "Partition", "Offset"].map((text, index) => el("th", { scope: "col", class: index > 1 ? "number" : null }, text));
    view.replaceChildren(
      el("dl", { class: "tiles" },
        tile("now", "Records per second", "mean of 5 s"),
        tile("p50", "Time from record to score, p50", "median"),
        tile("p99", "Time from record to score, p99", "99 of 100 within"),
        tile("lag", "Lag", "records to score"),
        tile("labels", "At or above the threshold", ""),
        tile("dead", "Dead letters", "in 60 s")),
      el("div", { class: "panels" },
        part("wide", "Scores per second", ...picture("live-rate", "60 s ago", "now")),
        part("", "Risks", ...picture("live-risks", "0%", "100%"), el("p", { class: "muted small", id: "live-risks-note" })),
        part("", "Dead letters by code", el("div", { id: "live-codes" })),
        part("wide", "Last scores", el("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": "Last scores" },
          el("table", {}, el("thead", {}, el("tr", {}, ...headers)), el("tbody", { id: "live-last" }))))));
  }

  #tiles(snapshot) {
    const { labels, record_to_score_ms: times } = snapshot;
    const known = labels[0] + labels[1];
    byId("live-now").textContent = rounded.format(snapshot.records_per_second);
    byId("live-p50").textContent = times ? duration(times.p50) : "\u2013";
    byId("live-p99").textContent = times ? duration(times.p99) : "\u2013";
    byId("live-lag").textContent = snapshot.lag === null ? "\u2013" : whole.format(snapshot.lag);
    byId("live-labels").textContent = known ? percent(labels[1] / known) : "\u2013";
    byId("live-labels-note").textContent = `${whole.format(labels[1])} of ${whole.format(known)}${snapshot.sampled ? " (sample)" : ""}`;
    byId("live-dead").textContent = whole.format(snapshot.dead_letters);
  }

  #rate(rate) {
    const top = Math.max(1, ...rate);
    const width = rate.length - 1;
    const points = rate.map((count, index) => `${index},${(40 - (count / top) * 37).toFixed(2)}`);
    const holder = byId("live-rate");
    holder.setAttribute("aria-label", `Scores per second over the last minute; the maximum was ${top}`);
    holder.replaceChildren(
      el("span", { class: "top-label" }, `${whole.format(top)}/s`),
      svg("svg", { viewBox: `0 0 ${width} 40`, preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("polygon", { class: "area", points: `0,40 ${points.join(" ")} ${width},40` }),
        svg("polyline", { class: "line", points: points.join(" "), "vector-effect": "non-scaling-stroke" })));
  }

  #risks({ histogram, labels }) {
    const top = Math.max(1, ...histogram);
    const bars = histogram.map((count, index) => svg("rect", {
      class: (index + 0.5) / histogram.length >= this.threshold ? "above" : "below",
      x: index * 10 + 0.7, width: 8.6, y: 100 - (count / top) * 94, height: (count / top) * 94,
    }));
    const limit = this.threshold * histogram.length * 10;
    const holder = byId("live-risks");
    holder.setAttribute("aria-label", `Histogram of risks: ${labels[0]} below the threshold, ${labels[1]} at or above it`);
    holder.replaceChildren(svg("svg", { viewBox: "0 0 200 100", preserveAspectRatio: "none", "aria-hidden": "true" },
      ...bars, svg("line", { class: "limit", x1: limit, x2: limit, y1: 0, y2: 100, "vector-effect": "non-scaling-stroke" })));
    byId("live-risks-note").textContent = `Dashed: the threshold of ${percent(this.threshold)}. ${whole.format(labels[0])} below, ${whole.format(labels[1])} at or above.`;
  }

  #deadLetters(codes) {
    const found = Object.entries(codes);
    const top = Math.max(1, ...found.map(([, count]) => count));
    const rows = found.map(([code, count]) => el("li", {},
      el("span", {}, words(code)),
      setProperties(el("span", { class: "amount", "aria-hidden": "true" }), { "--size": `${(count / top) * 100}%` }),
      el("span", { class: "number" }, whole.format(count))));
    byId("live-codes").replaceChildren(rows.length ? el("ul", { class: "codes" }, ...rows) : el("p", { class: "muted" }, "None in the last 60 seconds."));
  }

  #last(scores) {
    const rows = scores.map((score) => el("tr", {},
      el("td", {}, el("span", { class: "mini" }, setProperties(el("span", { class: "mini-bar", "aria-hidden": "true" }), { "--size": `${score.risk * 100}%` }), percent(score.risk, 1))),
      el("td", {}, score.label ? "at or above" : "below"),
      ...[score.missing, score.partition, score.offset].map((count) => el("td", { class: "number" }, whole.format(count)))));
    byId("live-last").replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", { colspan: "5", class: "muted" }, "No score yet."))]));
  }
}
