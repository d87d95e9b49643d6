// What the interviewer says, played. It owns the one clock that the mouth and the captions follow:
// how much of which reply has been heard.

export const RATE_HZ = 24000;

export class Speaker {
  /** Call it in a click: browsers let no page sound before one. */
  static async open() {
    const context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
    await Promise.all([
      context.resume(),
      context.audioWorklet.addModule(new URL("playback-worklet.js", import.meta.url)),
    ]);
    return new Speaker(context);
  }

  constructor(context) {
    this.context = context;
    this.rate = context.sampleRate;
    this.node = new AudioWorkletNode(context, "playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    this.node.connect(context.destination);
    this.runs = 0;
    this.turn = null;
    this.base = 0;
    this.heard = null; // the worklet's last report
    this.loudest = 0;
    this.node.port.onmessage = ({ data }) => this.#report(data);
  }

  #report(report) {
    this.heard = report;
    this.loudest = Math.max(this.loudest, report.level);
  }

  /** What is pushed from now on belongs to this reply and begins `ms` into it. */
  begin(turn, ms = 0) {
    this.runs += 1;
    this.turn = turn;
    this.base = ms;
  }

  /** PCM16, little endian, at `rate`. */
  push(buffer) {
    if (this.turn === null) return;
    const view = new DataView(buffer);
    const samples = new Float32Array(buffer.byteLength >> 1);
    for (let i = 0; i < samples.length; i += 1) samples[i] = view.getInt16(2 * i, true) / 32768;
    const message = { kind: "audio", run: this.runs, samples };
    this.node.port.postMessage(message, [samples.buffer]);
  }

  /** Silence, at once. Nothing of the reply is heard any more unless it begins again. */
  clear() {
    this.node.port.postMessage({ kind: "clear" });
    this.turn = null;
  }

  /** The reply was sent to its end: what is buffered plays, and running dry is no failure. */
  finish(turn) {
    if (turn === this.turn) this.turn = null;
  }

  /** How far the reply has been heard: `{turn, ms, sounding}`, null where none is under way. */
  cursor() {
    if (this.turn === null) return null;
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
    for (let i = 0; i < 20 && (this.heard?.queued ?? 0) > 0; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async close() {
    await this.drained();
    if (this.context.state !== "closed") await this.context.close();
  }
}
