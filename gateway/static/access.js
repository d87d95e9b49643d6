// What shows the server that this page may use it, where the server wants that: a ticket or a key, from
// behind the # of the page's address or typed, and then the pass for the session that was made with it.

const KEPT = "parley-pass";
const HEALTH_MS = 4000;

export const SILENT = "The server does not answer. Is it running, and are you online?";

let opener = taken();
let pass = read(); // a page that is loaded again still has it

/** The ticket or key in the address, which is left out of it: nobody reads or copies it there. */
function taken() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = given.get("ticket") ?? given.get("key");
  if (found === null) return "";
  history.replaceState(null, "", location.pathname + location.search);
  return found.trim();
}

/** `fetch` for what belongs to the session. */
export function send(path, options = {}) {
  return shown(pass || opener, path, options);
}

/** `fetch` for a session that is to be made. */
export function begin(path, options) {
  return shown(opener, path, options);
}

function shown(credential, path, { headers = {}, ...options }) {
  const who = credential ? { authorization: `Bearer ${credential}` } : {};
  return fetch(path, { ...options, headers: { ...headers, ...who } });
}

/** A message as it is sent; only a `hello` says who sends it. */
export function signed(message) {
  return message.type === "hello" && pass ? { ...message, ticket: pass } : message;
}

/** The pass for the session that was made; null or undefined where the server wants none. */
export function keep(access) {
  pass = access?.value ?? "";
  try {
    sessionStorage.setItem(KEPT, pass);
  } catch {} // it is forbidden
}

function read() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

/** Ask for a ticket or a key, in a part of the page that is hidden while none is wanted. */
export function ask(part) {
  const input = part.querySelector("input");
  part.hidden = false;
  input.value = "";
  input.oninput = () => {
    opener = input.value.trim();
  };
  input.focus();
}

/** What the server says to everybody. */
export function look(path, within_ms = HEALTH_MS) {
  return fetch(path, { cache: "no-store", signal: AbortSignal.timeout(within_ms) });
}

/** Whether the server answers at all. */
export function reachable() {
  return look("/health/live").then(({ ok }) => ok, () => false);
}
