// The patient of an EHR: launch the page, read what the form needs, fill it, and show whose data it is.

import { byId, el } from "./dom.js";
import { fillFromBundle } from "./fhir.js";
import { LaunchError, authorize, contact, exchange, hostOf, jsonOf, normalized } from "./smart.js";

/** The latest Observation of a field counts; the others are there in case that it is not valid. */
const SEARCH_LIMIT = 200;
/** The gateway reads no more Observations of a Bundle. */
const TOTAL_LIMIT = 2_000;
const PAGES_LIMIT = 50;
/** What says who the patient is; the gateway gets none of it. */
const IDENTIFYING = ["identifier", "name", "telecom", "address", "photo", "contact", "communication", "maritalStatus", "text", "contained", "extension"];

/** Begin or complete a launch, if the page was opened by one; offer a standalone launch otherwise. `settings` is the response of /smart. */
export async function connectEhr(settings, redirect, form, table) {
  const { parameters } = redirect;
  byId("ehr").hidden = false;
  // Whatever else fills the form is not this patient's.
  byId("fields").addEventListener("filled", () => {
    showName([]);
    show(offer(settings));
  });
  if (parameters.has("state")) {
    await attempt(settings, async () => {
      show(el("p", { role: "status" }, "Reading the patient from the EHR."));
      const session = await exchange(settings, redirect);
      const { patient, bundle, warnings } = await readPatient(session, settings.codes);
      if (await fillFromBundle(bundle, form, table)) showPatient(patient, session.issuer, warnings, settings);
      else show(offer(settings));
    });
  } else if (parameters.has("iss")) {
    await attempt(settings, async () => {
      show(el("p", { role: "status" }, "Going to the EHR for authorization."));
      await authorize(settings, parameters.get("iss"), parameters.get("launch"));
    });
  } else show(offer(settings));
}

async function attempt(settings, steps) {
  try {
    await steps();
  } catch (error) {
    const known = error instanceof LaunchError ? error : new LaunchError("The patient could not be read.");
    show(el("div", { class: "problems", role: "alert" }, el("h3", {}, known.message), el("p", {}, known.advice)), offer(settings));
  }
}

/** Read the Patient, and by each search the latest Observations with its codes, into a Bundle. */
async function readPatient({ issuer, token, patient }, searches) {
  const base = normalized(issuer), warnings = [], observations = new Map();
  const limit = Math.min(SEARCH_LIMIT, Math.floor(TOTAL_LIMIT / searches.length));
  const person = await read(`${base}/Patient/${encodeURIComponent(patient)}`, token);
  if (person?.resourceType !== "Patient") throw unusable(base);
  for (const code of searches) {
    const query = new URLSearchParams({ patient, code, _sort: "-date", _count: limit });
    const { found, warning } = await search(`${base}/Observation?${query}`, base, token, limit);
    for (const each of found) observations.set(each.id, each);
    if (warning) warnings.push(warning);
  }
  if (!observations.size) warnings.push("The EHR has no Observations of these fields: fill in what you know.");
  const anonymous = Object.fromEntries(Object.entries(person).filter(([name]) => !IDENTIFYING.includes(name.replace(/^_/, ""))));
  const entry = [anonymous, ...observations.values()].map((resource) => ({ fullUrl: `${base}/${resource.resourceType}/${resource.id}`, resource }));
  return { patient: person, bundle: { resourceType: "Bundle", type: "collection", entry }, warnings };
}

/** Read the pages of a search up to a number of Observations; `warning` says if the latest may not be among them. */
async function search(first, base, token, limit) {
  let found = [], url = first;
  for (let page = 0; page < PAGES_LIMIT; page += 1) {
    const bundle = await read(url, token);
    if (bundle?.resourceType !== "Bundle") throw unusable(base);
    found = [...found, ...(bundle.entry ?? []).map(({ resource }) => resource).filter((each) => each?.resourceType === "Observation")];
    const next = bundle.link?.find(({ relation }) => relation === "next")?.url;
    if (!next) return { found: found.slice(0, limit) };
    url = new URL(next, `${base}/`).href;
    if (!isBelow(url, base)) return { found, warning: `Not all Observations were read: the server's next page is not below ${base}.` };
    if (found.length >= limit) break;
  }
  found = found.slice(0, limit);
  return isSorted(found) ? { found } : { found, warning: "Not all Observations were read, and the server does not sort them by date: check the dates." };
}

const isBelow = (url, base) => url === base || ["/", "?"].some((mark) => url.startsWith(base + mark));

function isSorted(found) {
  const times = found.map((each) => Date.parse(each.effectiveDateTime ?? each.effectiveInstant ?? each.effectivePeriod?.start));
  return times.every((time, index) => index === 0 || time <= times[index - 1]);
}

async function read(url, token) {
  const response = await contact(url, { headers: { Accept: "application/fhir+json", Authorization: `Bearer ${token}` } });
  if (response.ok) return jsonOf(response);
  const host = hostOf(url);
  if (response.status === 401) throw new LaunchError(`The authorization by ${host} has expired.`);
  if (response.status === 403) throw new LaunchError(`${host} does not permit this page to read the patient.`, "Ask its administrator for the scopes to read Patient and Observation.");
  throw new LaunchError(`${host} answered with an error (${response.status}).`, "Open the page from the EHR again later.");
}

const unusable = (base) => new LaunchError(`${hostOf(base)} answered with something else than FHIR R4 in JSON.`, "Ask its administrator which version of FHIR it has.");

function show(...nodes) {
  byId("ehr").replaceChildren(...nodes.filter(Boolean));
}

function showName(facts) {
  byId("ehr-patient").replaceChildren(...facts.flatMap((fact, index) => [index ? ", " : "", el("span", {}, fact)]));
  byId("ehr-patient").hidden = !facts.length;
}

function offer(settings) {
  const buttons = settings.issuers.map((issuer) => {
    const button = el("button", { type: "button", class: "quiet" }, hostOf(issuer));
    button.addEventListener("click", () => attempt(settings, () => authorize(settings, issuer, null)));
    return button;
  });
  return el("div", { class: "examples", role: "group", "aria-labelledby": "ehr-label" }, el("span", { id: "ehr-label", class: "muted" }, "Open a patient of"), ...buttons);
}

/** Show whose values the form has, in this browser only. */
function showPatient(patient, issuer, warnings, settings) {
  const facts = [nameOf(patient), patient.birthDate ? `born ${patient.birthDate}` : "birth date unknown", patient.gender];
  show(
    el("p", { role: "status" }, `Filled in from ${hostOf(issuer)}. Compare name and birth date with the chart. The name stays in this browser until the form is cleared or the page closed.`),
    warnings.length ? el("ul", {}, ...warnings.map((text) => el("li", {}, text))) : null,
    offer(settings),
  );
  showName(facts.filter(Boolean));
}

function nameOf({ name: names = [] }) {
  const name = names.find(({ use }) => use === "official") ?? names[0] ?? {};
  return name.text ?? ([...(name.given ?? []), name.family].filter(Boolean).join(" ") || "Name unknown");
}
