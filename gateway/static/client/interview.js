// One interview: its line, its sound, and what is said in it. The events are the gateway's messages, by
// their types (docs/protocol.md: `reply.text`, `transcript`, …), and these:
//
//   message      each message of the gateway, before the event of its own type
//   sent         each message to it
//   state        {state, words, code}: connecting, live, silent, reconnecting, ended, failed; words for people
//   line.broke   {reason}: the line broke; it is tried again, and `ready` follows
//   caption      {turn, text}: the sentence that begins to be heard
//   reply.heard  {turn}: all of a reply has been played
//   typed        {item, state, turn}: of what was typed: sending, unsent, accepted, refused
//   microphone   {words}: there is none, for this reason; answers can be typed
//   video        {track}: the face as the server draws it, over WebRTC; null when that is over
//   sounded      20 ms of the loudspeaker, with its `context` and what is `behind`, in seconds
//   context      {context}: an AudioContext that was opened

import { CallError, Gateway, LineLost, Refused } from "./gateway.js";
import { Microphone, NoMicrophone, RATE_HZ } from "./microphone.js";
import { Results, Unsent } from "./unsent.js";
import { Voice } from "./voice.js";

const PLAYED_EVERY_MS = 200;
const LONGEST_TEXT_BYTES = 8 * 1024; // the gateway takes no longer answer,
const MOST_UNSENT = 8; // and no more of them at a time
const GIVEN_BACK = ["not_stored", "empty_text", "text_too_long", "too_many_turns"];
const LOST = ["silent", "reconnecting"];
const DEFAULTS = {
  role: "Software Engineer",
  transport: "auto",
  microphone: true,
  loudspeaker: "",
  avatar: "visemes",
};
const GONE = "The microphone is gone. You can type your answers.";

export class Interview extends EventTarget {
  /** With the gateway at this address, or this `Gateway`. README.md has the options. */
  constructor(gateway = "", options = {}) {
    super();
    const { ticket = "", key = "", ...rest } = options;
    this.gateway = gateway instanceof Gateway ? gateway : new Gateway(gateway, { ticket: ticket || key });
    this.options = { ...DEFAULTS, ...rest };
    this.state = "idle";
    this.muted = false;
    this.microphone = null;
    this.call = null;
    this.lines = null; // what was said before: once it is known, a list
    this.typed = new Unsent(rest.unsent);
    this.sent = 0; // texts of this conversation; each item of `unsent` that was sent has its number
    this.results = new Results();
    const played = (turn, ms) => this.call?.send({ type: "played", turn, ms });
    this.voice = new Voice((type, detail) => this.#tell(type, detail), played);
    this.dropped = rest.session !== undefined; // what has arrived is not known
    this.settling = false; // it is being found out
    this.own = null; // the microphone that it has opened itself
    this.beginning = false;
    this.ending = false;
    this.closed = false;
  }

  /** The id of the session; null before there is one. */
  get session() {
    return this.call?.session ?? this.options.session ?? null;
  }

  /** How its messages travel: "webrtc", "websocket", or null while that is not decided. */
  get way() {
    return this.call?.transport?.kind ?? null;
  }

  /** Why they do not travel by WebRTC, in words for people; mostly empty. */
  get why() {
    return this.call?.transport?.why ?? "";
  }

  /** What was typed and is not known to have arrived, the oldest first: `{text, before}`. */
  get unsent() {
    return this.typed.waiting;
  }

  /** The sentence that is heard, or was last: `{turn, text}`; null before any. */
  get caption() {
    return this.voice.captions.current;
  }

  /** How far the reply has been heard: `{turn, ms, sounding}`, null where none is under way. */
  cursor() {
    return this.voice.cursor();
  }

  /** The mouth now, on the clock of what is heard: `[from, to, share]`, the way from one viseme to
   * another that is done, 0 to 1. */
  mouth(now = performance.now()) {
    return this.voice.lips.at(now);
  }

  /** Open the loudspeaker. Call it, or `connect`, in a click: most browsers let no page sound before. */
  async open() {
    this.opening ??= this.voice.open().catch((error) => {
      this.opening = undefined; // it may be tried again
      throw error;
    });
    await this.opening;
    if (this.closed) return this.voice.close();
    this.play(this.options.loudspeaker);
    this.acknowledging ??= setInterval(() => this.voice.acknowledge(), PLAYED_EVERY_MS);
  }

  /** Hold the interview: a new one, or that of `options.session`. Resolves when the interviewer is there.
   * Throws `Refused` or `LineLost`, both of them `CallError`. */
  async connect() {
    if (this.closed) throw new CallError("The interview was closed.", "closed");
    if (this.call !== null || this.beginning) throw new CallError("An interview is connected once.");
    this.beginning = true;
    const { session, role, questions, language, model } = this.options;
    let Call, transportFor;
    try {
      [{ Call }, { transportFor }] = await Promise.all([
        import("./call.js"), // what no page needs that only offers an interview
        import("./transport.js"),
        this.open(),
      ]);
      if (this.microphone === null && this.options.microphone !== false) await this.#hear();
    } finally {
      this.beginning = false; // where that failed it may be tried again
    }
    if (this.closed) throw new CallError("The interview was closed.", "closed");
    const call = new Call(this.gateway, this.#handlers(), (id) => {
      // What did not come up at the start of a call is not tried again in it.
      const why = call.hadWebRtc ? "" : (call.transport?.why ?? "");
      const sent = { microphone: this.microphone?.track ?? null, video: this.options.avatar === "frames" };
      return transportFor(this.options.transport, why, this.gateway, id, sent);
    });
    this.call = call;
    const there = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    if (session === undefined) {
      call.start({ role, totalQuestions: questions, language, model }, this.#hello());
    } else {
      this.#enter(session);
    }
    return there;
  }

  async #enter(session) {
    try {
      await this.gateway.enter(session);
      await this.history();
    } catch (error) {
      this.call.leave();
      return this.#stands("failed", error.message, error.code);
    }
    if (!this.closed) this.call.join(session, this.#hello());
  }

  #hello() {
    const { avatar, face, turnDetection, noiseReduction } = this.options;
    const reduced = noiseReduction ? { noise_reduction: noiseReduction } : {};
    return {
      audio_in: { encoding: "pcm_s16le", rate: RATE_HZ, channels: 1, ...reduced },
      audio_out: { encoding: "pcm_s16le", rate: this.voice.speaker.rate },
      avatar,
      ...(face ? { face } : {}),
      ...(turnDetection ? { turn_detection: turnDetection } : {}),
    };
  }

  /** What was said in the session before: `{speaker, text, interrupted}`; `undefined` where the gateway
   * does not say. */
  async history() {
    if (this.session === null) return [];
    if (this.lines === null) {
      const lines = await this.gateway.transcript(this.session);
      this.typed.restore(lines ?? []);
      if (!lines) return undefined;
      this.lines = lines;
    }
    return this.lines;
  }

  // --- what the person does ----------------------------------------------------------------------

  /** Answer in writing. What is not sent, because the line is lost, is sent when it is there again.
   * Throws RangeError for a text that is empty or longer than 8 KiB, and for a ninth on its way. */
  say(text) {
    const size = new TextEncoder().encode(text).length;
    if (!text.trim() || size > LONGEST_TEXT_BYTES) {
      throw new RangeError(`an answer has 1 to ${LONGEST_TEXT_BYTES} bytes, and a word`);
    }
    if (this.unsent.length >= MOST_UNSENT) {
      throw new RangeError(`${MOST_UNSENT} typed answers have not arrived yet`);
    }
    const item = this.typed.add(text);
    const now = this.state === "live";
    this.#tell("typed", { item, state: now ? "sending" : "unsent" });
    // In a silence it waits in the line; where that breaks, the gateway tells whether it came.
    if ((now || this.state === "silent") && !this.settling && !this.dropped) this.#send(item);
  }

  /** Silence, at once: the reply is stopped. */
  interrupt() {
    this.voice.clear();
    this.call?.send({ type: "interrupt" });
  }

  /** What a function of this page's returned, after `tool.call`: any JSON. Sent again where the line breaks. */
  answerTool(callId, result) {
    this.call?.send(this.results.add(callId, result));
  }

  /** The spoken turn ends here: push to talk. */
  commit() {
    this.call?.send({ type: "commit" });
  }

  /** The person is not heard, or is heard again. */
  mute(muted = true) {
    this.muted = muted;
    this.microphone?.mute(muted);
  }

  /** Be heard through this `Microphone` from now on; null for none. Whoever opened it closes it. */
  listen(microphone) {
    if (this.closed) return;
    if (this.microphone !== null) this.microphone.sent = () => {};
    this.microphone = microphone;
    if (microphone !== null) {
      microphone.mute(this.muted);
      microphone.sent = (pcm) => this.call?.sendAudio(pcm);
    }
    this.call?.microphone(microphone?.track ?? null);
  }

  /** Sound from this output device from now on; "" is the system's. */
  play(device) {
    this.options.loudspeaker = device;
    const { speaker } = this.voice;
    if (device !== "" || speaker?.sink) speaker?.use(device);
  }

  /** End the interview; what was said is stored. Where the line is lost that is said when it is back; where
   * it does not come back within ten seconds, the gateway ends it by itself. */
  end() {
    this.voice.clear();
    this.ending = true;
    this.call?.hangUp(this.settling);
  }

  /** Release everything, once what is buffered has been heard. An interview that is not over waits for
   * whoever joins its session. */
  async close() {
    this.closed = true;
    if (this.call?.over === false) this.call.leave();
    this.own?.close();
    this.microphone = null;
    clearInterval(this.acknowledging);
    this.reject?.(new CallError("The interview was closed.", "closed"));
    await this.voice.close();
  }

  /** How the line and the sound are: `{roundTripMs, queuedMs, underruns, line}`; the last by name, in words
   * for people. */
  async measured() {
    const { queuedMs = 0, underruns = 0 } = this.voice.speaker ?? {};
    const line = (await this.call?.transport?.measured()) ?? {};
    return { roundTripMs: this.call?.roundTripMs ?? null, queuedMs, underruns, line };
  }

  // --- what comes --------------------------------------------------------------------------------

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #handlers() {
    return {
      state: (state, words, code = "") => this.#stands(state, words, code),
      message: (message) => this.#take(message),
      sent: (message) => this.#tell("sent", message),
      audio: (buffer) => this.voice.speaker?.push(buffer),
      track: (track, receiver) => this.#plays(track, receiver),
    };
  }

  /** What comes over WebRTC; null when that is over. */
  #plays(track, receiver) {
    if (track?.kind !== "video") {
      this.voice.speaker?.listen(track, receiver).catch((error) => console.warn(error));
    }
    if (track?.kind !== "audio") this.#tell("video", { track });
  }

  #stands(state, words, code) {
    const before = this.state;
    this.state = state;
    const lost = LOST.includes(state) && !LOST.includes(before);
    if (state === "reconnecting") {
      this.dropped = true;
      this.voice.clear(); // the gateway goes on at the word that was cut off
    }
    if (lost) this.#typed("unsent");
    if (state === "live" && before === "silent") this.#typed("sending"); // it is on its way
    this.#tell("state", { state, words, code });
    if (state === "reconnecting" && before !== state) this.#tell("line.broke", { reason: words });
    if (state === "failed") this.reject?.(new (code === "unreachable" ? LineLost : Refused)(words, code));
    if (state === "ended") this.reject?.(new Refused(words, code));
  }

  #typed(state) {
    for (const item of this.unsent) this.#tell("typed", { item, state });
  }

  #take(message) {
    this.voice.take(message);
    this.results.take(message);
    if (message.type === "transcript" && message.final) {
      const item = this.typed.accept(message.text);
      if (item !== undefined) this.#tell("typed", { item, state: "accepted", turn: message.turn });
    }
    if (message.type === "error" && !message.fatal && GIVEN_BACK.includes(message.code)) {
      const item = this.typed.refuse();
      if (item !== undefined) this.#tell("typed", { item, state: "refused" });
    }
    this.#tell("message", message);
    this.#tell(message.type, message);
    if (message.type === "ready") {
      for (const result of this.results.unsure) this.call.send(result);
      this.resolve?.();
      this.#settle(message.resumed ?? {});
    }
  }

  /** Send what was typed and has not arrived. Of a conversation that goes on the gateway says how many
   * texts it has, stored or not; in another one its transcript shows what has arrived. */
  async #settle({ kept, complete, texts }) {
    const back = this.dropped;
    const counted = kept && Number.isInteger(texts);
    this.dropped = false;
    if (back) {
      this.sent = counted ? texts : 0;
      for (const item of this.unsent) {
        if (item.number <= this.sent) continue;
        item.number = undefined;
        if (counted) item.sent = false;
      }
    }
    if (this.settling) return;
    if (back && !(counted && complete) && this.unsent.length > 0) {
      this.settling = true;
      const gone = () => this.call.over || this.dropped || this.closed;
      let lines;
      // What has arrived must not be said twice: nothing is sent before that is known.
      while (lines === undefined && !gone()) lines = await this.gateway.transcript(this.session);
      this.settling = false;
      if (gone()) return; // it is asked again when the line is back
      for (const item of this.typed.arrived(lines ?? [])) this.#tell("typed", { item, state: "accepted" });
      // Who typed what may have arrived decides whether to say it again.
      const state = counted ? "accepted" : "refused";
      if (lines === null) for (const item of this.typed.doubtful()) this.#tell("typed", { item, state });
    }
    this.#typed("sending");
    for (const item of [...this.unsent]) if (item.number === undefined) this.#send(item);
    if (this.ending) this.call.hangUp(); // behind what was typed
  }

  #send(item) {
    this.sent += 1;
    item.number = this.sent;
    item.sent = true;
    this.call.send({ type: "text", text: item.text });
  }

  /** Open the microphone that the options want. */
  async #hear() {
    const { microphone } = this.options;
    try {
      const opened = await Microphone.open(microphone === true ? "" : microphone);
      if (this.closed) return opened.close();
      this.own = opened;
      this.listen(opened);
      this.#tell("context", { context: opened.context });
      opened.onlost(() => {
        if (this.microphone !== opened) return;
        this.listen(null);
        this.own = null;
        opened.close();
        this.#tell("microphone", { words: GONE });
      });
    } catch (error) {
      if (!(error instanceof NoMicrophone)) throw error;
      this.#tell("microphone", { words: error.message });
    }
  }
}
