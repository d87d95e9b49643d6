// What the operator's page asks of the gateway, with the key of who sits before it.

const KEPT = "parley-operator";
const ANSWER_MS = 10000;
const SILENT = "The gateway does not answer.";
const REFUSALS = {
  admin_off: "The admin API is off: this gateway has no PARLEY_ADMIN_KEY.",
  admin_key_required: "That is not the operator’s key.",
};

/** Why the gateway did not do what was asked; `locked` where another key is wanted. */
export class Refused extends Error {
  constructor(words, locked = false) {
    super(words);
    this.locked = locked;
  }
}

export class Operator {
  /** `url` is where the gateway is: below it lies `/admin`. */
  constructor(url) {
    this.url = url.replace(/\/$/, "");
    this.key = read();
  }

  /** Use this key from now on, as long as the tab lives. */
  take(key) {
    this.key = key;
    write(key);
  }

  forget() {
    this.take("");
  }

  /** The answer, as JSON; null where there is nothing to say. Raises `Refused`. */
  async ask(path, method = "GET") {
    const headers = new Headers();
    try {
      if (path !== "/health") headers.set("authorization", `Bearer ${this.key}`);
    } catch {
      throw new Refused(REFUSALS.admin_key_required, true); // no header can carry it
    }
    const asked = { method, headers, cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) };
    const answer = await fetch(`${this.url}${path}`, asked).catch(() => null);
    if (answer === null) throw new Refused(SILENT);
    const told = await answer.json().catch(() => null);
    if (answer.ok || path === "/health") return told;
    const locked = answer.status === 401 || told?.code === "admin_off";
    const words = REFUSALS[told?.code] ?? told?.detail ?? told?.title;
    throw new Refused(words || `The gateway answers ${answer.status}.`, locked);
  }
}

// A storage that is forbidden throws as soon as it is named.
function read() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

function write(key) {
  try {
    if (key) sessionStorage.setItem(KEPT, key);
    else sessionStorage.removeItem(KEPT);
  } catch {} // it is asked for again
}
