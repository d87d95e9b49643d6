// One call: the session is made, connected to, and found again when the line drops. What it has to tell
// goes to `handlers`:
//
//   state(name, words, code)  connecting, live, silent, reconnecting, ended, failed; words for people, and
//                       the reason in one word, "" where there is none
//   message(object)     from the server; `audio` likewise, reply audio
//   sent(message)       to the server
//   track(track, receiver)  what the server sends over WebRTC; null when that is over

import { SILENT, TAKEN } from "./gateway.js";
import { Pulse } from "./transport.js";

const RETRIES_MS = [300, 700, 1500, ...Array(60).fill(3000)]; // three minutes
const MOST_TAKEN = 12; // tries while somebody holds the session: a server that was killed does for 15 s
const LASTING_MS = 5000; // a connection that stood for so long was a good one
const DEAD_MS = 6000; // silent for so long besides: it is made again
const READY_MS = 10000; // from the open line to the interviewer
const PROBE_MS = 1500;
const ASK_MS = 10000; // what the server may take for a session
const FAREWELL_MS = 1500; // where the line is dead, nobody else closes it
const END_MS = 10000; // for a lost line to come back, so that the end can be said

const FINISHED = 1000;
const BROKEN = 1006;
const POLICY = 1008;
const GONE = 4404;
const LEFT = 4000; // for a line that is dead: 1000 would end the session, where it arrives

const FULL = "The server is full at the moment. Try again in a minute.";
const STOPPING = "The server is being restarted. Try again in a minute.";
const REFUSED = "The server refused.";
const LOST = "Connection lost. Trying again…";
const HELD = "The line before is still open on the server, or in another tab. Trying again…";
const UNHEARD = "The server was not reached: it ends the interview by itself.";
const KEPT = "What you said so far is kept.";
const UNREACHABLE = "unreachable";
const CODES = { [FULL]: "full", [STOPPING]: "stopping", [SILENT]: UNREACHABLE };
const REFUSALS = {
  access_required: "This server wants a ticket or a key: please enter it above.",
  store_unavailable: "The server cannot store interviews at the moment. Try again in a minute.",
};

export class Call {
  /** `makeTransport(session)` gives a transport for one connection. */
  constructor(gateway, handlers, makeTransport) {
    this.gateway = gateway;
    this.handlers = handlers;
    this.makeTransport = makeTransport;
    this.session = null;
    this.transport = null;
    this.attempt = 0;
    this.taken = 0; // tries at which somebody else held the session
    this.hadWebRtc = false;
    this.joined = false; // whether the interviewer has been reached once
    this.known = false; // whether the session was there before this page was
    this.resumption = null; // what the server says how to go on with it, and how far it was read
    this.seq = 0;
    this.ending = false; // it was hung up
    this.over = false;
    this.refused = ""; // the last fatal error
    this.roundTripMs = null;
    this.waiting = null; // for the next try
    this.pulse = null;
    this.drop = null; // makes the connection again
    this.farewell = this.end = null; // timers, once it was hung up
    addEventListener("online", this.#online);
  }

  #online = () => {
    if (this.waiting === null) return;
    clearTimeout(this.waiting);
    this.#connect();
  };

  /** Make a session and connect. `hello` is sent on each connection. */
  async start(wanted, hello) {
    this.hello = hello;
    this.startedAt = performance.now();
    this.handlers.state("connecting", "Connecting…");
    let answer;
    try {
      answer = await this.gateway.begin("/api/sessions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ mode: "voice", ...wanted }),
        signal: AbortSignal.timeout(ASK_MS),
      });
    } catch {
      return this.#finish("failed", SILENT, UNREACHABLE);
    }
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      // A proxy that finds no server behind it has no code.
      const none = answer.status > 500 && !body.code;
      const words = REFUSALS[body.code] ?? (none ? STOPPING : (body.detail ?? body.title ?? REFUSED));
      return this.#finish("failed", words, body.code ?? (none ? UNREACHABLE : ""));
    }
    this.session = body.session_id;
    this.gateway.pass = body.access?.value ?? "";
    this.#connect();
  }

  /** Go on with a session that was made before. */
  join(session, hello) {
    this.hello = hello;
    this.startedAt = performance.now();
    this.known = true;
    this.session = session;
    this.handlers.state("connecting", "Connecting…");
    this.#connect();
  }

  #connect() {
    this.waiting = null;
    if (this.over) return;
    const transport = this.makeTransport(this.session);
    this.transport = transport;
    let openedAt = null;
    let gone = false;
    let deadline = null;
    const closed = (code, reason) => {
      if (gone) return;
      gone = true;
      this.pulse?.stop();
      this.pulse = null;
      clearTimeout(deadline);
      this.handlers.track(null);
      if (openedAt !== null && performance.now() - openedAt > LASTING_MS) this.attempt = 0;
      this.#closed(code, reason, openedAt !== null);
    };
    const drop = () => {
      closed(BROKEN, "");
      transport.close(LEFT);
    };
    this.drop = drop;
    const ping = () => transport.send({ type: "ping", t: Math.round(performance.now()) });
    const changed = (silent) => {
      clearTimeout(deadline);
      if (this.over) return;
      if (!silent) return this.handlers.state("live", "");
      this.handlers.state("silent", LOST);
      deadline = setTimeout(drop, DEAD_MS);
      this.#probe().then((answers) => answers || !this.pulse?.silent || drop());
    };
    transport.open({
      opened: () => {
        openedAt = performance.now();
        const how = this.resumption && { resume: { token: this.resumption, seq: this.seq } };
        transport.send({ type: "hello", version: 1, ...this.hello, ...how });
        deadline = setTimeout(drop, READY_MS);
      },
      message: (message) => {
        if (gone) return;
        if (message.type === "ready") {
          clearTimeout(deadline);
          this.pulse = new Pulse(ping, changed);
        }
        this.pulse?.heard();
        this.#take(message);
      },
      audio: (buffer) => {
        if (gone) return;
        this.pulse?.heard();
        this.handlers.audio(buffer);
      },
      track: (track, receiver) => gone || this.handlers.track(track, receiver),
      closed,
    });
  }

  /** Where the line is silent: whether there may still be a server at its other end. */
  async #probe() {
    if (!navigator.onLine) return true; // it was not the server
    return this.gateway.look("/health/live", PROBE_MS).then(
      () => true,
      ({ name }) => name === "TimeoutError", // it takes connections, as a stopped process does
    );
  }

  #take(message) {
    if (message.type === "pong") this.roundTripMs = Math.round(performance.now() - message.t);
    if (message.seq > 0) this.seq = message.seq;
    if (message.type === "ready") {
      this.resumption = typeof message.resume === "string" ? message.resume : null;
      this.joined = true;
      this.hadWebRtc ||= this.transport.kind === "webrtc";
      this.taken = 0;
      this.handlers.state("live", "");
    }
    if (message.type === "error" && message.fatal) this.refused = message.code;
    this.handlers.message(message);
  }

  async #closed(code, reason, opened) {
    const { refused } = this;
    const taken = refused === "already_connected";
    const forgotten = refused === "cannot_resume"; // it can still be joined afresh
    if (forgotten) this.resumption = null;
    this.refused = "";
    if (this.over) return;
    clearTimeout(this.farewell); // it may not have been heard
    const gone = forgotten || (this.ending && this.resumption === null);
    if (code === FINISHED || (this.ending && gone)) return this.#finish("ended", "");
    if (code === GONE) return this.#finish("ended", "This session was deleted.", "deleted");
    if (this.ending) this.end ??= setTimeout(() => this.#finish("ended", UNHEARD), END_MS);
    // Until the server has noticed the broken line, the old connection still holds the session.
    this.taken = taken ? this.taken + 1 : 0;
    const lingering = taken && (this.known || this.attempt > 0) && this.taken < MOST_TAKEN;
    if (taken && !lingering) return this.#finish("failed", TAKEN, refused);
    if (code === POLICY && !taken && !forgotten) return this.#finish("failed", reason || REFUSED, refused);
    const why = opened ? "" : await this.#whyNot(reason);
    if (this.over) return;
    const first = !opened && this.attempt === 0 && !this.joined && !this.known;
    if (first) return this.#finish("failed", why, CODES[why] ?? "");
    if (this.attempt >= RETRIES_MS.length) {
      return this.#finish("failed", `${why || SILENT} ${KEPT}`, CODES[why || SILENT] ?? "");
    }
    const words = taken ? HELD : LOST;
    this.handlers.state("reconnecting", why === FULL ? `${LOST} ${FULL}` : words);
    this.waiting = setTimeout(() => this.#connect(), RETRIES_MS[this.attempt]);
    this.attempt += 1;
  }

  /** A refused handshake looks like a broken line to a page, so the server is asked. */
  async #whyNot(reason) {
    try {
      const { status } = await (await this.gateway.look("/health/ready")).json();
      if (reason) return `The connection did not come up: ${reason}. Try it another way.`;
      if (status === "full") return FULL;
      return status === "ready" ? "The connection did not come up. Try again." : STOPPING;
    } catch {
      return SILENT;
    }
  }

  send(message) {
    this.handlers.sent?.(message);
    this.transport?.send(message);
  }

  sendAudio(buffer) {
    this.transport?.sendAudio(buffer);
  }

  /** What is sent as the person's voice from now on; null where there is none. */
  microphone(track) {
    if (!this.over) this.transport?.microphone(track);
  }

  /** End it; what the server still has to say about it is not waited for. Where the line is lost it is
   * made once more, so that the server is told; then, and where it `waits` for something that is to be
   * sent before, this is called again. */
  hangUp(waits = false) {
    if (this.over) return;
    this.ending = true;
    const stands = this.pulse !== null && !this.pulse.silent;
    // A line that is being made again gets it behind what was typed: this is called again then.
    if (!waits && (this.pulse !== null || !this.joined)) this.send({ type: "bye" });
    if (!waits && (stands || !this.joined)) {
      clearTimeout(this.farewell);
      this.farewell = setTimeout(() => this.#finish("ended", ""), FAREWELL_MS);
      return;
    }
    this.end ??= setTimeout(() => this.#finish("ended", UNHEARD), END_MS);
    if (this.waiting !== null) this.#online(); // at once
    else if (this.pulse?.silent) this.drop();
  }

  /** Leave it: the session goes on for whoever joins it again. */
  leave() {
    this.#stop();
    this.transport?.close(LEFT);
  }

  #finish(state, words, code = "") {
    if (this.over) return;
    this.#stop();
    this.transport?.close();
    this.handlers.state(state, words, code);
  }

  #stop() {
    this.over = true;
    for (const timer of [this.waiting, this.farewell, this.end]) clearTimeout(timer);
    removeEventListener("online", this.#online);
    this.pulse?.stop();
  }
}
