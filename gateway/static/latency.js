// How long the interviewer lets the person wait, as this browser hears both: from the last sound of
// the person's speech in the microphone to the first one of the reply at the loudspeaker. The server
// counts from where its detector puts the end of the speech, and knows nothing of the way to the ear.

const KEPT_MS = 15000;
const QUIETER = 0.06; // of an utterance's loudest 20 ms: less than that is breath, or the room
const AUDIBLE = 0.003; // of full scale
const SKEW_OF = 10; // messages, of 20 ms each, of which the fastest tells how the clocks stand
const MOST_TURNS = 50;

/** Times of an audio thread on the wall's clock, in ms. */
class Clock {
  constructor() {
    this.offsets = [];
  }

  /** `at` is the context's time in seconds when the wall's clock showed `now`, in ms. Both were read
   * on the audio thread, which computes ahead in bursts: the fastest of a few is right. A thread that
   * could not keep up leaves its context behind for good, so that only the last few count. */
  now(at, now) {
    this.offsets.push(now - at * 1000);
    if (this.offsets.length > SKEW_OF) this.offsets.shift();
    return at * 1000 + Math.min(...this.offsets);
  }
}

export class Latency {
  constructor() {
    this.clocks = new WeakMap(); // by context
    this.restart();
  }

  restart() {
    this.levels = []; // of the microphone: {at, level}
    this.spokenAt = null; // when the person's speech ended that has no reply yet
    this.turn = null;
    this.turns = new Map(); // ms, by turn
  }

  #at(context, { at, now }) {
    if (!this.clocks.has(context)) this.clocks.set(context, new Clock());
    return this.clocks.get(context).now(at, now);
  }

  /** 20 ms of the microphone that end at `report.at`. */
  heard(report, context) {
    const at = this.#at(context, report);
    this.levels.push({ at, level: report.level });
    while (at - this.levels[0].at > KEPT_MS) this.levels.shift();
  }

  /** `speech.started`: whatever waited for a reply goes on with this. */
  started() {
    this.spokenAt = null;
  }

  /** `speech.stopped`: when that was is seen in the microphone. */
  stopped(turn) {
    const loudest = Math.max(0, ...this.levels.map(({ level }) => level));
    const last = this.levels.findLast(({ level }) => level > loudest * QUIETER);
    if (loudest < AUDIBLE || last === undefined) return;
    this.spokenAt = last.at;
    this.turn = turn;
  }

  /** 20 ms of the loudspeaker that end at `report.at`, and reach the ear `behind` seconds later. */
  sounded(report, context, behind) {
    const at = this.#at(context, report);
    if (this.spokenAt === null || report.level < AUDIBLE) return;
    const ms = at - report.lasts * 1000 + behind * 1000 - this.spokenAt;
    this.spokenAt = null;
    if (ms <= 0) return; // a reply that was being spoken meanwhile
    this.turns.set(this.turn, Math.round(ms));
    if (this.turns.size > MOST_TURNS) this.turns.delete(this.turns.keys().next().value);
  }

  /** Milliseconds of that turn; undefined where this browser did not hear both. */
  of(turn) {
    return this.turns.get(turn);
  }
}
