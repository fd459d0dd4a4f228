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

/** Show a score, at its beginning, which on narrow screens is below the form. */
function showScore(score, record, form, table, model) {
  byId("problems").hidden = true;
  byId("result").replaceChildren(...renderScore(score, record, table, model));
  byId("announcement").textContent = announcement(score, record, table, model);
  form.clearErrors();
  byId("result-area").scrollTop = 0;
  if (matchMedia("(width < 64rem)").matches) byId("result-title").scrollIntoView({ block: "start" });
}

/** Grey the result, and say why, if it is not that of the form. */
function showStale(isStale) {
  const wasStale = !byId("stale").hidden;
  byId("stale").hidden = !isStale;
  byId("result-area").classList.toggle("outdated", isStale);
  if (isStale && !wasStale) byId("announcement").textContent = byId("stale").textContent;
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
  let [scored, requests] = [null, 0];
  const check = () => showStale(scored !== null && scored !== JSON.stringify(form.record()));
  const score = async () => {
    const record = form.record();
    requests += 1;
    const request = requests;
    const [response, body] = await predict(record);
    // Only the response to the last request counts.
    if (request !== requests) return;
    if (!response?.ok) return showError(response, body, form);
    scored = JSON.stringify(record);
    showScore(body, record, form, table, model);
    check();
  };
  node.addEventListener("input", check);
  node.addEventListener("filled", check);
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    score();
  });
  node.addEventListener("reset", (event) => {
    event.preventDefault();
    requests += 1;
    scored = null;
    form.fill({});
    byId("problems").hidden = true;
    byId("announcement").textContent = "The form is empty.";
    byId("result").replaceChildren(el("p", { class: "muted" }, "No score yet."));
  });
  for (const { title, values } of table.examples) {
    const button = el("button", { type: "button", class: "quiet" }, title);
    button.addEventListener("click", () => {
      form.fill(values);
      score();
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
    byId("served").textContent = `${table.title}: risk of ${table.outcome.text}`;
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
