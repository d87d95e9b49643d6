// What the interviewer says, played. It owns the one clock that the mouth and the captions follow:
// how much of which reply has been heard. Its audio comes in pieces over the WebSocket, or by itself
// over WebRTC (remote.js).

export const RATE_HZ = 24000;

const DRAIN_MS = 1000;
const MOST_EARLY = 16;
const WORKLET_MS = 10_000; // a browser whose sound takes longer to start will not have any

// Firefox hands a remote track to a context of another rate some 70 ms late, which nothing tells.
const otherRates = () => !navigator.userAgent.includes("Firefox/");

/** Whether a page may sound without another click, as far as the browser says. */
export function audible() {
  if (navigator.getAutoplayPolicy?.("audiocontext") === "allowed") return true;
  return navigator.userActivation?.hasBeenActive ?? false;
}

/** Whether the browser lets a page choose where it sounds. */
export function choosable() {
  return "setSinkId" in AudioContext.prototype;
}

export class Speaker {
  /** Call it in a click: most browsers let no page sound before one. `watch` gets each context. */
  static async open(watch) {
    const context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
    try {
      const opened = new Speaker(context, await output(context), watch);
      watch(context);
      return opened;
    } catch (error) {
      await context.close();
      throw error;
    }
  }

  constructor(context, node, watch) {
    this.context = context;
    this.watch = watch;
    this.rate = context.sampleRate;
    this.node = node;
    this.remote = null;
    this.spare = null; // where a remote voice is heard that `context` would play late: {context, node, level}
    this.early = []; // `reply.audio` that came before the voice
    this.track = null; // the remote voice that is wanted
    this.runs = 0;
    this.line = []; // replies that sound or wait for it, in order: {run, turn, base, pushed, finished}
    this.heard = null; // the worklet's last report
    this.loudest = 0;
    this.sink = ""; // the output device; "" is the system's
    this.sounded = () => {}; // called with each report of a context
    this.node.port.onmessage = ({ data }) => this.#report(data);
  }

  /** Sound comes from this output device from now on. */
  use(sink) {
    this.sink = sink;
    for (const context of [this.context, this.spare?.context]) {
      context?.setSinkId?.(sink).catch((error) => console.warn(error)); // it may have gone
    }
  }

  /** From now on the voice is this track of WebRTC's; null: it comes in pieces. */
  async listen(track, receiver) {
    this.remote?.close();
    this.remote = null;
    this.early = [];
    this.track = track;
    if (track === null) return this.#leave();
    const { RemoteVoice } = await import("./remote.js"); // what a WebSocket never needs
    if (this.track !== track) return; // it is over
    const heard = (otherRates() ? null : await this.#other()) ?? this;
    if (this.track !== track) return; // it is over
    this.remote = new RemoteVoice(track, receiver, heard.context, heard.node);
    for (const message of this.early) this.remote.anchor(message);
  }

  /** A context of the machine's own rate, with its output; null where it cannot be had. */
  async #other() {
    if (this.spare !== null) return this.spare;
    let context;
    try {
      context = new AudioContext({ latencyHint: "interactive" });
    } catch {
      return null; // there are as many as the browser allows
    }
    const node = await output(context).catch(() => null);
    if (node === null || this.track === null || this.spare !== null) {
      await context.close();
      return this.spare;
    }
    const spare = { context, node, level: 0 };
    this.spare = spare;
    this.watch(context);
    this.use(this.sink);
    node.port.onmessage = ({ data }) => {
      if (this.spare !== spare) return; // what was on its way when it was left
      spare.level = data.level;
      this.loudest = Math.max(this.loudest, data.level); // no piece is played here
      this.sounded(data, context);
    };
    return spare;
  }

  /** No remote voice is left to hear in the other context. */
  async #leave() {
    const { spare } = this;
    this.spare = null;
    await spare?.context.close();
  }

  /** `reply.audio`: where in the remote voice a stretch of a reply begins. */
  anchor(message) {
    if (this.remote === null) this.early = [...this.early, message].slice(-MOST_EARLY);
    else this.remote.anchor(message);
  }

  #report(report) {
    this.heard = report;
    while (this.line.length > 0 && this.#played(this.line[0])) this.#over();
    this.loudest = Math.max(this.loudest, report.level);
    this.sounded(report, this.context);
  }

  /** Whether all sound of a reply has been heard, and no more will come. */
  #played({ run, pushed, finished }) {
    const { heard } = this;
    if (!pushed) return finished !== null || this.line.length > 1;
    if (heard.run !== run) return heard.run > run;
    return heard.queued === 0 && !heard.sounding && (finished !== null || this.line.length > 1);
  }

  /** What is pushed from now on belongs to this reply and begins `ms` into it. */
  begin(turn, ms = 0) {
    this.runs += 1;
    this.line.push({ run: this.runs, turn, base: ms, pushed: false, finished: null });
    // A reply that is still being heard goes on: after a stall several come at once.
    while (this.line.length > 1 && (this.remote !== null || !this.line[0].pushed)) this.#over();
  }

  /** PCM16, little endian, at `rate`. */
  push(buffer) {
    const last = this.line.at(-1);
    if (last === undefined || last.run !== this.runs) return;
    const view = new DataView(buffer);
    const samples = new Float32Array(buffer.byteLength >> 1);
    for (let i = 0; i < samples.length; i += 1) samples[i] = view.getInt16(2 * i, true) / 32768;
    last.pushed = true;
    const message = { kind: "audio", run: last.run, samples };
    this.node.port.postMessage(message, [samples.buffer]);
  }

  /** Silence, at once. Nothing of the replies is heard any more unless one begins again. */
  clear() {
    this.node.port.postMessage({ kind: "clear" });
    this.remote?.clear();
    this.early = [];
    this.line = [];
  }

  /** The reply was sent to its end: what is buffered plays, and `finished` is called after it. */
  finish(turn, finished) {
    const reply = this.line.findLast((one) => one.turn === turn);
    if (reply === undefined) return finished();
    reply.finished = finished;
    if (reply !== this.line[0]) return;
    // A remote voice has been heard by then, but for some milliseconds.
    if (this.remote !== null || !reply.pushed) this.#over();
  }

  /** The first of them is over. */
  #over() {
    this.line.shift().finished?.();
  }

  /** How far the reply has been heard: `{turn, ms, sounding}`, null where none is under way. */
  cursor() {
    if (this.line.length === 0) return null;
    const [{ run, turn, base }] = this.line;
    if (this.remote !== null) {
      const at = this.remote.position();
      const sounding = at?.turn === turn;
      return { turn, ms: sounding ? at.ms : base, sounding };
    }
    const report = this.heard;
    if (report === null || report.run !== run) return { turn, ms: base, sounding: false };
    const since = report.sounding ? Math.min(0.1, this.context.currentTime - report.at) : 0;
    const seconds = report.played / this.rate + since - latency(this.context);
    return { turn, ms: base + Math.max(0, seconds * 1000), sounding: report.sounding };
  }

  get queuedMs() {
    return this.heard === null ? 0 : Math.round((this.heard.queued / this.rate) * 1000);
  }

  /** How often a reply had to stop for want of audio. */
  get underruns() {
    return this.heard?.underruns ?? 0;
  }

  get level() {
    return Math.max(this.heard?.level ?? 0, this.spare?.level ?? 0);
  }

  /** Resolves once everything buffered has been heard, a second later at the latest. */
  async drained() {
    const deadline = performance.now() + DRAIN_MS; // a hidden page's timers are slow
    while ((this.heard?.queued ?? 0) > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async close() {
    await this.drained();
    this.remote?.close();
    this.track = null;
    for (const context of [this.context, this.spare?.context]) {
      if (context && context.state !== "closed") await context.close();
    }
  }
}

/** Seconds from the audio thread to the ear, as far as the browser knows. */
export function latency(context) {
  return context.outputLatency || context.baseLatency || 0;
}

async function output(context) {
  context.resume().catch(() => {}); // without a click it may wait for one
  const loaded = context.audioWorklet.addModule(new URL("playback-worklet.js", import.meta.url));
  await Promise.race([loaded, tooLate()]);
  const node = new AudioWorkletNode(context, "playback", { outputChannelCount: [1] });
  node.connect(context.destination);
  return node;
}

function tooLate() {
  const late = new Error(`the browser's audio did not start within ${WORKLET_MS / 1000} s`);
  return new Promise((_, reject) => setTimeout(reject, WORKLET_MS, late));
}
