// One interview with the server: the session is made, connected to, and found again when the line
// drops. It knows nothing of the page; what it has to tell goes to `handlers`:
//
//   state(name, words)  connecting, live, reconnecting, ended, failed; words for people
//   message(object)     from the server; `audio` likewise, reply audio
//   locked()            the server wants a ticket or a key
//   track(track, receiver)  what the server sends over WebRTC; null when that is over

import { begin, keep } from "./access.js";
import { EitherTransport } from "./transport.js";

const RETRIES_MS = [300, 700, 1500, 3000, 5000, 8000, 8000, 8000, 8000, 8000];
const LASTING_MS = 5000; // a connection that stood for so long was a good one
const PING_MS = 5000;
const MOST_UNANSWERED = 2; // pings; a line that drops silently is noticed within 15 seconds
const ASK_MS = 10000; // what the server may take for a session
const HEALTH_MS = 4000;

const FINISHED = 1000;
const BROKEN = 1006;
const POLICY = 1008;
const GONE = 4404;

const FULL = "The server is full at the moment. Try again in a minute.";
const STOPPING = "The server is being restarted. Try again in a minute.";
export const SILENT = "The server does not answer. Is it running, and are you online?";
const REFUSED = "The server refused.";
const REFUSALS = {
  access_required: "This server wants a ticket or a key: please enter it above.",
  store_unavailable: "The server cannot store interviews at the moment. Try again in a minute.",
};

export class Call {
  constructor(handlers, { makeTransport = (id) => new EitherTransport(id) } = {}) {
    this.handlers = handlers;
    this.makeTransport = makeTransport;
    this.session = null;
    this.transport = null;
    this.attempt = 0;
    this.hadWebRtc = false;
    this.joined = false; // whether the interviewer has been reached once
    this.over = false;
    this.refused = ""; // the last fatal error
    this.roundTripMs = null;
  }

  /** Make a session and connect. `hello` is sent on each connection. */
  async start({ role, questions, language }, hello) {
    this.hello = hello;
    this.startedAt = performance.now();
    this.handlers.state("connecting", "Connecting…");
    let answer;
    try {
      answer = await begin("/api/sessions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ role, totalQuestions: questions, mode: "voice", language: language || null }),
        signal: AbortSignal.timeout(ASK_MS),
      });
    } catch {
      return this.#finish("failed", SILENT);
    }
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      // A proxy that finds no server behind it has no code.
      const none = answer.status > 500 && !body.code;
      if (body.code === "access_required") this.handlers.locked?.();
      const words = REFUSALS[body.code] ?? (none ? STOPPING : (body.detail ?? body.title ?? REFUSED));
      return this.#finish("failed", words);
    }
    this.session = body.session_id;
    keep(body.access);
    this.#connect();
  }

  #connect() {
    if (this.over) return;
    const transport = this.makeTransport(this.session);
    this.transport = transport;
    let openedAt = null;
    let unanswered = 0;
    let gone = false;
    const closed = (code, reason) => {
      if (gone) return;
      gone = true;
      clearInterval(this.pinging);
      this.handlers.track(null);
      if (openedAt !== null && performance.now() - openedAt > LASTING_MS) this.attempt = 0;
      this.#closed(code, reason, openedAt !== null);
    };
    transport.open({
      opened: () => {
        openedAt = performance.now();
        transport.send({ type: "hello", version: 1, ...this.hello });
        this.pinging = setInterval(() => {
          if (unanswered >= MOST_UNANSWERED) {
            closed(BROKEN, "");
            return transport.close();
          }
          unanswered += 1;
          transport.send({ type: "ping", t: Math.round(performance.now()) });
        }, PING_MS);
      },
      message: (message) => {
        unanswered = 0;
        if (!gone) this.#take(message);
      },
      audio: (buffer) => this.handlers.audio(buffer),
      track: (track, receiver) => this.handlers.track(track, receiver),
      closed,
    });
  }

  #take(message) {
    if (message.type === "pong") this.roundTripMs = Math.round(performance.now() - message.t);
    if (message.type === "ready") {
      this.joined = true;
      this.handlers.state("live", "");
    }
    if (message.type === "error" && message.fatal) this.refused = message.code;
    this.handlers.message(message);
  }

  async #closed(code, reason, opened) {
    const refused = this.refused;
    this.refused = "";
    if (this.over) return;
    if (code === FINISHED) return this.#finish("ended", "");
    if (code === GONE) return this.#finish("ended", "This session was deleted.");
    // Until the server has noticed the broken line, the old connection still holds the session.
    const lingering = refused === "already_connected" && this.attempt > 0;
    if (code === POLICY && !lingering) return this.#finish("failed", reason || REFUSED);
    const why = opened ? "" : await this.#whyNot(reason);
    if (this.over) return;
    const first = !opened && this.attempt === 0 && !this.joined;
    if (first) return this.#finish("failed", why);
    if (this.attempt >= RETRIES_MS.length) {
      return this.#finish("failed", `${why || SILENT} What you said so far is kept.`);
    }
    const words = "The line dropped. Reconnecting to the same interview…";
    this.handlers.state("reconnecting", why === FULL ? `${words} ${FULL}` : words);
    this.waiting = setTimeout(() => this.#connect(), RETRIES_MS[this.attempt]);
    this.attempt += 1;
  }

  /** A refused handshake looks like a broken line to a page, so the server is asked. */
  async #whyNot(reason) {
    try {
      const { status } = await (await ask("/health/ready")).json();
      if (reason) return `The connection did not come up: ${reason}. Try it another way.`;
      if (status === "full") return FULL;
      return status === "ready" ? "The connection did not come up. Try again." : STOPPING;
    } catch {
      return SILENT;
    }
  }

  send(message) {
    this.transport?.send(message);
  }

  sendAudio(buffer) {
    this.transport?.sendAudio(buffer);
  }

  /** What is sent as the person's voice from now on; null where there is none. */
  microphone(track) {
    if (!this.over) this.transport?.microphone(track);
  }

  /** End it; what the server still has to say about it is not waited for. */
  hangUp() {
    this.send({ type: "bye" });
    setTimeout(() => this.#finish("ended", ""), 1500); // where the line is dead, nobody else closes
  }

  #finish(state, words) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.waiting);
    clearInterval(this.pinging);
    this.transport?.close();
    this.handlers.state(state, words);
  }
}

function ask(path) {
  return fetch(path, { cache: "no-store", signal: AbortSignal.timeout(HEALTH_MS) });
}

/** Whether the server answers at all. */
export function reachable() {
  return ask("/health/live").then(({ ok }) => ok, () => false);
}
