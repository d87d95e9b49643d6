// The server's voice over WebRTC: heard through the page's loudspeaker, and how far it has come.
//
// `reply.audio` says which RTP timestamp is which place in a reply. What is being heard is known
// from the receiver: it tells the timestamp of the packet that it took out of its jitter buffer
// last, and when that was, to 10 ms. A packet lasts 20 ms and may be told with either half of it,
// so of what was told within WINDOW_MS the earliest counts. docs/webrtc.md says how exact that is.

const PER_MS = 48; // steps of the RTP clock
const WINDOW_MS = 120;
const STALE_MS = 600; // packets stay away: nothing is heard any more
const MOST_ANCHORS = 64;
const BEHIND_MS = 25; // Opus looks ahead 6.5 ms; Chromium holds some 20 between track and WebAudio
const EARLY_MS = 20; // the gate is open when the sound comes
const GATE_S = 0.004; // a cut-off word must not click

export class RemoteVoice {
  /** Heard in `context`, through `output`. */
  constructor(track, receiver, context, output) {
    this.receiver = receiver;
    this.context = context;
    const stream = new MediaStream([track]);
    this.source = context.createMediaStreamSource(stream);
    // Chromium decodes a remote track for WebAudio only while a media element plays it, too.
    this.element = Object.assign(new Audio(), { muted: true, srcObject: stream });
    // Aborted: another track has taken its place.
    this.element.play().catch((error) => error.name === "AbortError" || console.warn(error));
    this.gate = new GainNode(context, { gain: 0 });
    this.source.connect(this.gate).connect(output);
    this.told = []; // {at, rtp}, the last within WINDOW_MS
    this.anchors = []; // {turn, ms, rtp}: stretches of replies, in order
  }

  /** `reply.audio`: a stretch of a reply begins with this RTP timestamp. */
  anchor({ turn, at_ms: ms, rtp }) {
    this.anchors.push({ turn, ms, rtp });
    if (this.anchors.length > MOST_ANCHORS) this.anchors.shift();
    const until = -(this.#since(rtp) ?? 0);
    this.#open(1, Math.max(0, until - EARLY_MS) / 1000);
  }

  /** Silence, at once, until the next stretch. */
  clear() {
    this.anchors = [];
    this.#open(0, 0);
  }

  /** `{turn, ms}` of what leaves the browser now, null while nothing of a reply does. */
  position() {
    while (this.anchors.length > 1 && this.#since(this.anchors[1].rtp) >= 0) this.anchors.shift();
    const [first] = this.anchors;
    const since = first && this.#since(first.rtp);
    const heard = since >= 0 && performance.now() - this.told.at(-1).at < STALE_MS;
    return heard ? { turn: first.turn, ms: first.ms + since } : null;
  }

  /** Milliseconds since a timestamp was played, negative before; undefined where none is known. */
  #since(rtp) {
    for (const { timestamp, rtpTimestamp } of this.receiver.getSynchronizationSources()) {
      // By the standard they count from 1970.
      const at = timestamp > 1e11 ? timestamp - performance.timeOrigin : timestamp;
      if (this.told.at(-1)?.rtp !== rtpTimestamp) this.told.push({ at, rtp: rtpTimestamp });
    }
    const newest = this.told.at(-1);
    if (newest === undefined) return undefined;
    this.told = this.told.filter(({ at }) => newest.at - at <= WINDOW_MS);
    // `| 0`: timestamps wrap, so a difference is never more than half of their range.
    const started = this.told.map((one) => one.at - ((one.rtp - rtp) | 0) / PER_MS);
    const latency = (this.context.outputLatency || this.context.baseLatency || 0) * 1000;
    return performance.now() - Math.min(...started) - BEHIND_MS - latency;
  }

  #open(gain, wait) {
    const now = this.context.currentTime;
    this.gate.gain.cancelScheduledValues(now);
    this.gate.gain.setTargetAtTime(gain, now + wait, GATE_S);
  }

  close() {
    this.source.disconnect();
    this.gate.disconnect();
    this.element.srcObject = null;
  }
}
