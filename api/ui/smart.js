// SMART App Launch: the page as a public client that is authorized by an EHR (authorization code, PKCE with S256).
// The token stays in a variable. Only what must survive the redirect is stored, for this tab, and removed on return.

const STORED = "heartstream.smart";
const TIMEOUT_MS = 20_000;
const AGAIN = "Open the page from the EHR again.";

/** Why a launch failed: the message, and `advice` on what to do. */
export class LaunchError extends Error {
  constructor(message, advice = AGAIN) {
    super(message);
    this.advice = advice;
  }
}

export const hostOf = (url) => new URL(url).host;

/** Take the parameters of a launch or of the EHR's response, and what was stored for it; neither URL nor session keeps them. */
export function takeRedirect() {
  const parameters = new URLSearchParams(location.search);
  let stored = null;
  try {
    stored = JSON.parse(sessionStorage.getItem(STORED));
    sessionStorage.removeItem(STORED);
  } catch {
    // The browser blocks storage; that matters only to a launch, which reports it.
  }
  if (parameters.has("state") || parameters.has("iss")) history.replaceState(null, "", location.pathname + location.hash);
  return { parameters, stored };
}

/** Go to the EHR's authorization page; `launch` is what an EHR launch is identified by, null in a standalone launch. */
export async function authorize(settings, issuer, launch) {
  checkAllowed(settings, issuer);
  if (!globalThis.crypto?.subtle) throw new LaunchError("A launch needs https.", "Open the page by its https address.");
  const server = await discover(settings, issuer);
  const [state, verifier] = [randomText(), randomText()];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  try {
    sessionStorage.setItem(STORED, JSON.stringify({ state, verifier, issuer }));
  } catch {
    throw new LaunchError("The browser blocks the storage that a launch needs.", "Allow this site to store data, and try again.");
  }
  const url = new URL(server.authorization_endpoint);
  const query = {
    response_type: "code", client_id: settings.client_id, redirect_uri: redirectUri(), state, aud: issuer,
    scope: scopes(settings, server, launch), code_challenge: base64url(digest), code_challenge_method: "S256",
    ...(launch === null ? {} : { launch }),
  };
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  // An EHR launch is valid once: the address from which it began is not kept in the history.
  if (launch === null) location.assign(url);
  else location.replace(url);
}

/** Exchange the code of the EHR's response; return `issuer`, `token` and the id of the `patient`. */
export async function exchange(settings, { parameters, stored }) {
  if (stored === null || parameters.get("state") !== stored.state) {
    throw new LaunchError("This response is not that of a launch in this tab, or was used already.");
  }
  checkAllowed(settings, stored.issuer);
  checkPermitted(parameters);
  const server = await discover(settings, stored.issuer);
  if (parameters.has("iss") && server.issuer && parameters.get("iss") !== server.issuer) {
    throw new LaunchError("This response is of another authorization server.");
  }
  const response = await contact(server.token_endpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code", code: parameters.get("code") ?? "", redirect_uri: redirectUri(),
      client_id: settings.client_id, code_verifier: stored.verifier,
    }),
  });
  const answer = await jsonOf(response);
  if (answer?.error === "invalid_grant") throw new LaunchError("The authorization has expired or was used already.");
  if (!response.ok || typeof answer?.access_token !== "string") {
    throw refusal(hostOf(server.token_endpoint), answer?.error ?? `status ${response.status}`);
  }
  if (typeof answer.patient !== "string") {
    throw new LaunchError("The EHR did not say which patient is open.", "Open the patient's chart in the EHR, and open the page from there.");
  }
  return { issuer: stored.issuer, token: answer.access_token, patient: answer.patient };
}

/** Send a request without cookies, cache and redirects. Throws LaunchError if there is no response that may be read. */
export async function contact(url, options = {}) {
  const usual = { credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" };
  const limit = () => AbortSignal.timeout(TIMEOUT_MS);
  try {
    return await fetch(url, { ...usual, redirect: "error", signal: limit(), ...options });
  } catch {
    const isReached = await fetch(url, { ...usual, mode: "no-cors", signal: limit() }).then(() => true, () => false);
    if (!isReached) throw new LaunchError(`${hostOf(url)} cannot be reached.`, "Check the network connection, and open the page from the EHR again.");
    throw new LaunchError(`${hostOf(url)} does not let this page read its responses.`,
      `Ask its administrator to allow requests of the origin ${location.origin} (CORS).`);
  }
}

/** Return the body of a response, null if it is not JSON. */
export const jsonOf = (response) => response.json().catch(() => null);

function checkAllowed(settings, issuer) {
  if (settings.issuers.some((each) => normalized(each) === normalized(issuer))) return;
  const host = URL.canParse(issuer) ? `: ${hostOf(issuer)}` : "";
  throw new LaunchError(`This page may not be opened by that server${host}.`,
    "If it is your hospital's EHR, ask the administrator of this page to add its FHIR address to HEARTSTREAM_SMART__ISSUERS.");
}

function checkPermitted(parameters) {
  const error = parameters.get("error");
  if (error === "access_denied") {
    throw new LaunchError("The EHR did not permit access; nothing was read.", "Open the page from the EHR again and confirm, or fill in the form.");
  }
  if (error !== null) throw refusal("The EHR", error);
}

function refusal(who, error) {
  return new LaunchError(`${who} refused the launch: ${String(error).slice(0, 80)}.`,
    "Open the page from the EHR again. If that does not help, ask its administrator how this page is registered (redirect URI, client id, scopes).");
}

/** Return the SMART configuration of an issuer. Throws LaunchError if the page must not use it. */
async function discover(settings, issuer) {
  const host = hostOf(issuer);
  const response = await contact(`${normalized(issuer)}/.well-known/smart-configuration`, { headers: { Accept: "application/json" } });
  const server = response.ok ? await jsonOf(response) : null;
  const methods = server?.code_challenge_methods_supported ?? ["S256"];
  if (!isSecure(server?.authorization_endpoint) || !isSecure(server?.token_endpoint) || !methods.includes("S256")) {
    throw new LaunchError(`${host} has no SMART configuration that this page can use.`, "Ask its administrator whether SMART App Launch with PKCE (S256) is on.");
  }
  const origin = new URL(server.token_endpoint).origin;
  if (!settings.origins.some((each) => new URL(each).origin === origin)) {
    throw new LaunchError(`This page may not contact the token endpoint of ${host}.`, `Ask the administrator of this page to add ${origin} to HEARTSTREAM_SMART__TOKEN_ORIGINS.`);
  }
  return server;
}

function scopes(settings, server, launch) {
  const read = server.capabilities?.includes("permission-v2") ? "patient/*.rs" : "patient/*.read";
  return `${launch === null ? "launch/patient" : "launch"} ${settings.scopes || `openid fhirUser ${read}`}`;
}

/** Whether it is the address of a page or endpoint to which a code or a token may be sent. */
function isSecure(address) {
  if (!URL.canParse(address)) return false;
  const { protocol, hostname } = new URL(address);
  return protocol === "https:" || (protocol === "http:" && ["localhost", "127.0.0.1", "[::1]"].includes(hostname));
}

/** Return a FHIR base URL without a slash at its end, by which issuers are compared. */
export const normalized = (url) => (URL.canParse(url) ? new URL(url).href.replace(/\/+$/, "") : null);

/** The page itself, also below a path prefix. */
const redirectUri = () => new URL("./", location.origin + location.pathname).href;

const randomText = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
