// The loudspeaker's end of the audio thread: a bounded buffer that knows how far it has played.
//
// Audio comes in pieces that belong to a run: a stretch of one reply without a gap, numbered by the
// page. Runs are played one after another. From silence it begins to sound once PREROLL_MS wait, or
// the first piece has waited that long. What is connected to its input is heard as it comes.

const LONGEST_S = 25; // the server sends 200 ms ahead, but a stalled line brings all of it at once
const PREROLL_MS = 60;
const FADE_MS = 5; // a cut-off word must not click
const REPORT_MS = 20;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Float32Array(LONGEST_S * sampleRate);
    this.read = 0;
    this.queued = 0;
    this.waiting = []; // runs with audio in the buffer, in order: {run, samples}
    this.run = 0; // the one that is played, or was last
    this.played = 0; // samples of this run
    this.since = 0; // when the first piece of a silence arrived
    this.sounding = false;
    this.dry = false;
    this.underruns = 0;
    this.fade = 0; // samples left of the last fade
    this.last = 0;
    this.power = 0;
    this.counted = 0;
    this.port.onmessage = ({ data }) => this.#obey(data);
  }

  #obey({ kind, run, samples }) {
    if (kind === "clear") {
      this.queued = 0;
      this.waiting = [];
      if (this.sounding) this.fade = Math.round((FADE_MS * sampleRate) / 1000);
      this.sounding = false;
      this.dry = false;
      return;
    }
    if (this.dry && run === this.run) this.underruns += 1; // only now is it sure: not the end
    this.dry = false;
    if (this.queued === 0 && !this.sounding) this.since = currentTime;
    const free = this.ring.length - this.queued;
    const taken = Math.min(free, samples.length);
    for (let i = 0; i < taken; i += 1) {
      this.ring[(this.read + this.queued + i) % this.ring.length] = samples[i];
    }
    this.queued += taken;
    const last = this.waiting.at(-1);
    if (last?.run === run) last.samples += taken;
    else if (taken > 0) this.waiting.push({ run, samples: taken });
  }

  process([[remote]], [[output]]) {
    const preroll = PREROLL_MS / 1000;
    if (!this.sounding && this.queued > 0) {
      this.sounding = this.queued >= preroll * sampleRate || currentTime - this.since >= preroll;
    }
    for (let i = 0; i < output.length; i += 1) {
      output[i] = this.#next() + (remote?.[i] ?? 0);
      this.power += output[i] * output[i];
    }
    this.counted += output.length;
    if (this.counted >= (REPORT_MS * sampleRate) / 1000) this.#report();
    return true;
  }

  #next() {
    if (this.sounding && this.queued > 0) {
      this.last = this.ring[this.read];
      this.read = (this.read + 1) % this.ring.length;
      this.queued -= 1;
      this.#count();
      return this.last;
    }
    if (this.sounding) {
      this.sounding = false; // the end of a reply, or an underrun
      this.dry = true;
    }
    if (this.fade > 0) {
      this.fade -= 1;
      this.last *= 0.97;
      return this.last;
    }
    return 0;
  }

  /** One sample more was played, of the first run that waits. */
  #count() {
    const [first] = this.waiting;
    if (first.run !== this.run) {
      this.run = first.run;
      this.played = 0;
    }
    this.played += 1;
    first.samples -= 1;
    if (first.samples === 0) this.waiting.shift();
  }

  #report() {
    this.port.postMessage({
      run: this.run,
      played: this.played,
      queued: this.queued,
      sounding: this.sounding,
      underruns: this.underruns,
      level: Math.sqrt(this.power / this.counted),
      lasts: this.counted / sampleRate,
      at: currentTime,
      now: Date.now(),
    });
    this.power = 0;
    this.counted = 0;
  }
}

registerProcessor("playback", Playback);
