// What the interviewer says, played. It owns the one clock that the mouth and the captions follow:
// how much of which reply has been heard. Its audio comes in pieces over the WebSocket, or by itself
// over WebRTC (remote.js).

import { RemoteVoice } from "./remote.js";

export const RATE_HZ = 24000;

const DRAIN_MS = 1000;
const MOST_EARLY = 16;

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
    this.spare = null; // where a remote voice is heard that `context` does not take
    this.early = []; // `reply.audio` that came before the voice
    this.track = null; // the remote voice that is wanted
    this.runs = 0;
    this.turn = null;
    this.base = 0;
    this.pushed = false; // whether there is sound of this run
    this.finished = null; // called once the reply that was sent to its end has been played
    this.heard = null; // the worklet's last report
    this.loudest = 0;
    this.node.port.onmessage = ({ data }) => this.#report(data);
  }

  /** From now on the voice is this track of WebRTC's; null: it comes in pieces. */
  async listen(track, receiver) {
    this.remote?.close();
    this.remote = null;
    this.early = [];
    this.track = track;
    if (track === null) return;
    try {
      this.remote = new RemoteVoice(track, receiver, this.context, this.node);
    } catch {
      // Firefox takes a track at its own rate only.
      if (this.spare === null) {
        const context = new AudioContext({ latencyHint: "interactive" });
        const node = await output(context).catch(() => null);
        if (node === null || this.track !== track) return context.close(); // it is over
        this.spare = { context, node };
        this.watch(context);
        node.port.onmessage = ({ data }) => {
          this.loudest = Math.max(this.loudest, data.level); // no piece is played here
        };
      }
      this.remote = new RemoteVoice(track, receiver, this.spare.context, this.spare.node);
      for (const message of this.early) this.remote.anchor(message);
    }
  }

  /** `reply.audio`: where in the remote voice a stretch of a reply begins. */
  anchor(message) {
    if (this.remote === null) this.early = [...this.early, message].slice(-MOST_EARLY);
    else this.remote.anchor(message);
  }

  #report(report) {
    this.heard = report;
    if (report.run === this.runs && report.queued === 0 && !report.sounding) this.#over();
    this.loudest = Math.max(this.loudest, report.level);
  }

  /** What is pushed from now on belongs to this reply and begins `ms` into it. */
  begin(turn, ms = 0) {
    this.runs += 1;
    this.#over();
    this.turn = turn;
    this.base = ms;
    this.pushed = false;
  }

  /** PCM16, little endian, at `rate`. */
  push(buffer) {
    if (this.turn === null) return;
    const view = new DataView(buffer);
    const samples = new Float32Array(buffer.byteLength >> 1);
    for (let i = 0; i < samples.length; i += 1) samples[i] = view.getInt16(2 * i, true) / 32768;
    this.pushed = true;
    const message = { kind: "audio", run: this.runs, samples };
    this.node.port.postMessage(message, [samples.buffer]);
  }

  /** Silence, at once. Nothing of the reply is heard any more unless it begins again. */
  clear() {
    this.node.port.postMessage({ kind: "clear" });
    this.remote?.clear();
    this.finished = null;
    this.turn = null;
  }

  /** The reply was sent to its end: what is buffered plays, and `finished` is called after it. */
  finish(turn, finished) {
    if (turn !== this.turn) return finished();
    this.finished = finished;
    // A remote voice has been heard by then, but for some milliseconds.
    if (this.remote !== null || !this.pushed) this.#over();
  }

  #over() {
    const { finished } = this;
    if (finished === null) return;
    this.finished = null;
    this.turn = null;
    finished();
  }

  /** How far the reply has been heard: `{turn, ms, sounding}`, null where none is under way. */
  cursor() {
    if (this.turn === null) return null;
    if (this.remote !== null) {
      const at = this.remote.position();
      const sounding = at?.turn === this.turn;
      return { turn: this.turn, ms: sounding ? at.ms : this.base, sounding };
    }
    const report = this.heard;
    if (report === null || report.run !== this.runs) {
      return { turn: this.turn, ms: this.base, sounding: false };
    }
    const since = report.sounding ? Math.min(0.1, this.context.currentTime - report.at) : 0;
    const latency = this.context.outputLatency || this.context.baseLatency || 0;
    const seconds = report.played / this.rate + since - latency;
    const ms = this.base + Math.max(0, seconds * 1000);
    return { turn: this.turn, ms, sounding: report.sounding };
  }

  get queuedMs() {
    return this.heard === null ? 0 : Math.round((this.heard.queued / this.rate) * 1000);
  }

  /** How often a reply had to stop for want of audio. */
  get underruns() {
    return this.heard?.underruns ?? 0;
  }

  get level() {
    return this.heard?.level ?? 0;
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

async function output(context) {
  context.resume().catch(() => {}); // without a click it may wait for one
  await context.audioWorklet.addModule(new URL("playback-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "playback", { outputChannelCount: [1] });
  node.connect(context.destination);
  return node;
}
