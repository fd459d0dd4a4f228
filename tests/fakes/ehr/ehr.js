"use strict";
const parameters = new URLSearchParams(location.search);
const gateway = parameters.get("gateway");
const context = { userId: "Practitioner/d-1", patientId: parameters.get("patient") };
const status = document.getElementById("status");

function element(name, text, attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  if (text !== undefined) made.textContent = text;
  return made;
}

// CommonMark as far as cards have it: bullets, emphasis, and escapes of ASCII punctuation.
function inline(parent, source) {
  let open = parent;
  for (const [token] of source.matchAll(/\\[!-/:-@[-`{-~]|\*\*|\*|[^\\*]+|\\/g)) {
    if (token === "**" || token === "*") {
      const name = token === "*" ? "EM" : "STRONG";
      open = open.nodeName === name ? open.parentNode : open.appendChild(document.createElement(name));
    } else {
      open.append(/^\\./.test(token) ? token[1] : token);
    }
  }
}

async function json(url, options) {
  const response = await fetch(url, { credentials: "omit", ...options });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.json();
}

const send = (url, body) =>
  json(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// A search without a result is null, as CDS Hooks asks.
async function prefetched(template) {
  const [path, query] = template.replaceAll("{{context.patientId}}", context.patientId).split("?");
  const found = await json(`fhir/${path}${query ? `?${new URLSearchParams(query)}` : ""}`);
  return found.resourceType === "Bundle" && !found.entry.length ? null : found;
}

function feedback(service, card, reason) {
  const outcome = { card: card.uuid, outcome: "overridden", outcomeTimestamp: new Date().toISOString() };
  const { code, system } = card.overrideReasons[reason];
  return send(`${gateway}/cds-services/${service.id}/feedback`, {
    feedback: [{ ...outcome, overrideReason: { reason: { code, system } } }],
  });
}

function show(service, card) {
  const shown = element("article", undefined, { className: card.indicator });
  shown.append(element("h2", card.summary));
  const list = shown.appendChild(element("ul"));
  for (const line of card.detail.split("\n")) inline(list.appendChild(element("li")), line.replace(/^- /, ""));
  const source = shown.appendChild(element("p", "Source: ", { className: "source" }));
  source.append(card.source.url ? element("a", card.source.label, { href: card.source.url }) : card.source.label);
  const actions = shown.appendChild(element("div", undefined, { className: "actions" }));
  for (const link of card.links ?? []) actions.append(element("a", link.label, { href: link.url }));
  const reasons = element("select", undefined, { ariaLabel: "Reason" });
  reasons.append(...card.overrideReasons.map((each, place) => element("option", each.display, { value: place })));
  const dismiss = element("button", "Dismiss");
  dismiss.addEventListener("click", async () => {
    await feedback(service, card, reasons.value);
    shown.remove();
    status.textContent = "Dismissed.";
  });
  actions.append(reasons, dismiss);
  document.getElementById("cards").append(shown);
}

async function open() {
  const { services } = await json(`${gateway}/cds-services`);
  for (const service of services.filter((each) => each.hook === "patient-view")) {
    const keys = Object.keys(service.prefetch);
    const values = await Promise.all(Object.values(service.prefetch).map(prefetched));
    const prefetch = Object.fromEntries(keys.map((key, place) => [key, values[place]]));
    const { gender, birthDate } = prefetch.patient;
    document.getElementById("patient").textContent = `Patient ${context.patientId}: ${gender}, born ${birthDate}`;
    const call = { hook: service.hook, hookInstance: crypto.randomUUID(), context, prefetch };
    const { cards } = await send(`${gateway}/cds-services/${service.id}`, call);
    for (const card of cards) show(service, card);
  }
  status.textContent = "Complete.";
}

open().catch((error) => { status.textContent = `Failed: ${error.message}`; });
