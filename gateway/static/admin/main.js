// The operator's page: asks for the key, shows the gateway every two seconds, and does what is asked.

import { Operator, Refused } from "./operator.js";
import { Sections } from "./sections.js";

const EVERY_MS = 2000;
const LISTS = ["sessions", "breakers", "services"];
const FORGOTTEN = "The key is forgotten.";
const DRAINS = "The gateway drains: no session begins, live ones finish their sentence, then it ends.";
const SURE_DRAIN = "End this gateway, with all of its processes? Whoever talks is told to come back elsewhere.";
const READ = "The file of services is read again.";

const at = (id) => document.getElementById(id);

// The page is at /admin: what is asked is beside it, also below a path of another host.
const operator = new Operator(new URL(".", location.href).href);
const sections = new Sections(at, act);

let visit = 0; // counts: what was asked with a key that is forgotten is shown no more
let timer = 0;
let asked = Promise.resolve(); // the last question: browsers tell that it is closed some time later

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  operator.take(at("key").value.trim());
  look();
});
at("forget").addEventListener("click", () => lock(FORGOTTEN));
at("drain").addEventListener("click", () => act(DRAINS, "/admin/drain", "POST", SURE_DRAIN));
at("reload").addEventListener("click", () => act(READ, "/admin/services/reload", "POST"));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && operator.key) look();
});

/** Ask for everything and show it, now and again. */
async function look() {
  clearTimeout(timer);
  visit += 1;
  const mine = visit;
  try {
    const found = await everything();
    if (mine !== visit) return;
    open();
    sections.show(found);
    line("live", "Up to date");
  } catch (error) {
    if (mine !== visit) return;
    if (!(error instanceof Refused)) throw error;
    if (error.locked) return lock(error.message);
    line("failed", error.message);
    if (!opened()) at("key-notice").textContent = error.message;
  } finally {
    if (mine === visit && operator.key && !document.hidden) timer = setTimeout(look, EVERY_MS);
  }
}

async function everything() {
  const paths = [...LISTS.map((name) => `/admin/${name}`), "/admin/limits", "/admin/metrics", "/health"];
  const [sessions, breakers, services, limits, metrics, health] = await Promise.all(
    paths.map((path) => operator.ask(path)),
  );
  return { ...sessions, ...breakers, ...services, limits, metrics, health };
}

/** Do something, after a question where it is one that hurts, and say what came of it. */
async function act(words, path, method, question = "") {
  if (question && !(await sure(question))) return;
  try {
    await operator.ask(path, method);
    tell(words);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.locked) return lock(error.message);
    tell(error.message, true);
  }
  look();
}

/** Whether the operator means it. Escape is a no. */
function sure(question) {
  asked = asked.then(() => answer(question));
  return asked;
}

function answer(question) {
  const dialog = at("sure");
  at("sure-words").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function opened() {
  return document.body.dataset.view === "open";
}

function open() {
  if (opened()) return;
  document.body.dataset.view = "open";
  at("key").value = at("key-notice").textContent = "";
  at("sessions").focus();
}

function lock(words) {
  visit += 1;
  clearTimeout(timer);
  operator.forget();
  sections.clear();
  document.body.dataset.view = "locked";
  at("key").value = "";
  at("key-notice").textContent = words;
  line("idle", "Not connected");
  tell("");
  at("key").focus();
}

function line(state, words) {
  at("line").dataset.state = state;
  if (at("line-words").textContent !== words) at("line-words").textContent = words;
}

function tell(words, bad = false) {
  at("told").textContent = words;
  at("told").classList.toggle("bad", bad);
}

if (operator.key) look();
else at("key").focus();
