// A gateway, as a page reaches it: its address, what shows it that this page may use it (a ticket or a
// key, and then the pass for the session that was made with it), and what its REST API says of a session.

const HEALTH_MS = 4000;
const ASK_MS = 4000;
const TRIES = 3;
const AGAIN_MS = 500;
const HTTP = { "ws:": "http:", "wss:": "https:", "http:": "http:", "https:": "https:" };

export const SILENT = "The server does not answer. Is it running, and are you online?";
export const TAKEN =
  "This interview is open somewhere else: in another tab, window or browser. Close it there, then go on here.";

/** A call did not begin or cannot go on; `message` says why in words for people. */
export class CallError extends Error {
  /** `code` is the gateway's word for the reason, "" where it has none. */
  constructor(message, code = "") {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The gateway did not take the call, or ended it. */
export class Refused extends CallError {}

/** No gateway was reached, or not again in time. */
export class LineLost extends CallError {}

export class Gateway {
  /** `url` is its address, with any path; "" is where the page itself comes from. `ticket` is a ticket
   * or a key, `pass` the pass for a session. Throws TypeError for what is no address. */
  constructor(url = "", { ticket = "", pass = "" } = {}) {
    this.url = address(url);
    this.ticket = ticket;
    this.pass = pass;
  }

  /** `fetch` for what belongs to the session: a path, or a whole address that the gateway gave. */
  fetch(path, options = {}) {
    return this.#shown(this.pass || this.ticket, path, options);
  }

  /** `fetch` for a session that is to be made. */
  begin(path, options = {}) {
    return this.#shown(this.ticket, path, options);
  }

  #shown(credential, path, { headers = {}, ...options }) {
    const who = credential ? { authorization: `Bearer ${credential}` } : {};
    const there = URL.canParse(path) ? path : `${this.url}${path}`;
    return fetch(there, { ...options, headers: { ...headers, ...who } });
  }

  /** The address that a `Location` names in the answer for a path. */
  placed(there, path) {
    return new URL(there, new URL(`${this.url}${path}`, location.href)).href;
  }

  /** The address of a WebSocket. */
  socket(path) {
    const found = new URL(`${this.url}${path}`, location.href);
    found.protocol = found.protocol === "https:" ? "wss:" : "ws:";
    return found;
  }

  /** A message as it is sent over a WebSocket, which has no headers; only a `hello` says who sends it. */
  signed(message) {
    return message.type === "hello" && this.pass ? { ...message, ticket: this.pass } : message;
  }

  /** A ticket for a session that was made before opens one line; the pass that it is exchanged for
   * opens the next ones, too. Throws `Refused` or `LineLost`. */
  async enter(session) {
    if (this.pass || !this.ticket) return;
    const asked = { method: "POST", signal: AbortSignal.timeout(ASK_MS) };
    const path = `/api/sessions/${encodeURIComponent(session)}/pass`;
    const answer = await this.fetch(path, asked).catch(() => null);
    if (answer === null) throw new LineLost(SILENT, "unreachable");
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refused(body.detail ?? body.title ?? `status ${answer.status}`, body.code);
    this.pass = body.access?.value ?? ""; // null where the gateway wants no keys
  }

  /** What the server says to everybody. */
  look(path, within_ms = HEALTH_MS) {
    const asked = { cache: "no-store", signal: AbortSignal.timeout(within_ms) };
    return fetch(`${this.url}${path}`, asked);
  }

  /** Whether the server answers at all. */
  reachable() {
    return this.look("/health/live").then(({ ok }) => ok, () => false);
  }

  /** A session, null where there is none any more, undefined where the server does not say. */
  async stored(session) {
    const answer = await this.#get(`/api/sessions/${session}`);
    if (answer?.status === 404) return null;
    return answer?.ok ? answer.json() : undefined;
  }

  /** What was said so far: a list of `{speaker, text, interrupted}`, undefined where it is unknown, null
   * where it is not told to this page (any more): its pass has expired. */
  async transcript(session) {
    const answer = await this.#get(`/api/sessions/${session}/transcript`);
    if (answer?.status === 409 || answer?.status === 404) return []; // nothing was said yet
    if (answer === null) return undefined;
    if (!answer.ok) return null;
    const told = await answer.json().catch(() => null); // the line broke within it
    if (told === null) await pause();
    return told?.lines;
  }

  async #get(path) {
    for (let i = 0; i < TRIES; i += 1) {
      const asked = { cache: "no-store", signal: AbortSignal.timeout(ASK_MS) };
      const answer = await this.fetch(path, asked).catch(() => null);
      if (answer !== null && answer.status < 500 && answer.status !== 429) return answer;
      await pause();
    }
    return null;
  }
}

function address(url) {
  if (url === "") return "";
  const found = URL.canParse(url) ? new URL(url) : null;
  const scheme = HTTP[found?.protocol];
  if (scheme === undefined) throw new TypeError(`${url} is no address of a gateway, such as http://127.0.0.1:8000`);
  return `${scheme}//${found.host}${found.pathname.replace(/\/+$/, "")}`;
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
}
