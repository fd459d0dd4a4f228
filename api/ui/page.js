// The page: its three tabs, and scoring the form by the gateway.

import { showCard } from "./card.js";
import { byId, el, json } from "./dom.js";
import { connectEhr } from "./ehr.js";
import { connectBundle } from "./fhir.js";
import { PatientForm } from "./form.js";
import { LiveView } from "./live.js";
import { showProblems } from "./problems.js";
import { announcement, renderScore } from "./result.js";
import { takeRedirect } from "./smart.js";

const TABS = ["score", "live", "model"];
let live = null;
let hasCard = false;

async function select(name, { focus = false } = {}) {
  for (const each of TABS) {
    const tab = byId(`tab-${each}`);
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
    byId(each).hidden = each !== name;
  }
  if (focus) byId(`tab-${name}`).focus();
  if (name === "live") live?.start();
  else live?.stop();
  if (name === "model" && !hasCard) {
    hasCard = true;
    hasCard = await showCard(byId("card"), byId("contents"));
  }
}

function connectTabs() {
  const tabInUrl = () => (TABS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "score");
  const go = (name, options) => {
    history.replaceState(null, "", `#${name}`);
    select(name, options);
  };
  for (const [index, name] of TABS.entries()) {
    byId(`tab-${name}`).addEventListener("click", () => go(name));
    byId(`tab-${name}`).addEventListener("keydown", (event) => {
      const step = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: TABS.length - 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      go(TABS[(step + TABS.length) % TABS.length], { focus: true });
    });
  }
  addEventListener("hashchange", () => { if (location.hash !== "#main") select(tabInUrl()); });
  select(tabInUrl());
}

async function predict(record) {
  try {
    const response = await fetch("predict", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(record),
    });
    return [response, await response.json()];
  } catch {
    return [null, null];
  }
}

function showScore(score, record, form, table, model) {
  byId("problems").hidden = true;
  byId("result").replaceChildren(...renderScore(score, record, table, model));
  byId("announcement").textContent = announcement(score, record, table, model);
  byId("stale").hidden = true;
  form.clearErrors();
}

function showError(response, problem, form) {
  if (!response) return showProblems("The gateway cannot be reached; nothing was scored.", []);
  const issues = problem.errors ?? [];
  if (!issues.length) {
    const wait = response.headers.get("Retry-After");
    return showProblems(problem.title ?? `The gateway returned ${response.status}`,
      [problem.detail, wait ? `Try again in ${wait} s.` : null].filter(Boolean).map((text) => el("li", {}, text)));
  }
  const count = issues.length === 1 ? "One thing needs" : `${issues.length} things need`;
  return showProblems(`${count} correcting; nothing was scored`, form.showIssues(issues));
}

function connectForm(form, table, model) {
  const node = byId("patient");
  const changed = () => { byId("stale").hidden = !byId("risk"); };
  node.addEventListener("input", changed);
  node.addEventListener("filled", changed);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = node.querySelector("[type=submit]");
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    const record = form.record();
    const [response, body] = await predict(record);
    button.removeAttribute("aria-disabled");
    if (response?.ok) {
      showScore(body, record, form, table, model);
      // On narrow screens the result is below the form.
      if (matchMedia("(width < 64rem)").matches) byId("result-title").scrollIntoView({ block: "start" });
    } else showError(response, body, form);
  });
  node.addEventListener("reset", (event) => {
    event.preventDefault();
    form.fill({});
    byId("problems").hidden = byId("stale").hidden = true;
    byId("announcement").textContent = "The form is empty.";
    byId("result").replaceChildren(el("p", { class: "muted" }, "No score yet."));
  });
  for (const { title, values } of table.examples) {
    const button = el("button", { type: "button", class: "quiet" }, title);
    button.addEventListener("click", () => {
      form.fill(values);
      byId("problems").hidden = true;
      byId("announcement").textContent = `${title}: the form is filled in.`;
    });
    byId("examples").append(button);
  }
}

async function start() {
  const redirect = takeRedirect();
  connectTabs();
  try {
    const [table, model, smart] = await Promise.all([json("fields"), json("model"), json("smart")]);
    const form = new PatientForm(byId("fields"), table, model.training_range);
    connectForm(form, table, model);
    connectBundle(form, table);
    byId("served").textContent = `${table.title}: ${model.model.name} ${model.model.version}, ${model.model.digest.slice(0, 8)}`;
    byId("live-population").textContent = `Risks by a model that was trained on ${model.population}.`;
    live = new LiveView(model.threshold);
    if (!byId("live").hidden) live.start();
    document.documentElement.dataset.ready = "yes";
    if (smart.issuers.length) await connectEhr(smart, redirect, form, table);
  } catch {
    showProblems("Unexpected response from the gateway; reload this page later.", []);
  }
}

start();
