// Where the mouth is at a moment of the reply's sound. The same rules as those of the server's
// pictures (stages/avatar/timeline.py, where the reasons are); a test holds the two together.

const ATTACK_MS = 70;
const SETTLE_MS = 20; // how far into its sound a shape is complete
const CLOSURES = new Set(["PP", "FF"]); // nothing unless they are complete
const CLOSURE_MS = 40;
const CLOSING_MS = 60;
const PAUSE_MS = 60; // a gap that closes the mouth
const MOST_SHAPES = 20000;
const MOST_COMING = 256;

export const VISEMES = [
  "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou",
];
const KNOWN = new Set(VISEMES);
const SMALLER = { aa: "E", E: "ih", oh: "ou" };

export const CLOSED = ["sil", "sil", 1];

/** The mouth of one reply. A mouth is `[before, after, share]`: the way that is done. */
export class Track {
  constructor(turn) {
    this.turn = turn;
    this.targets = []; // {from, full, shape, free}: milliseconds
    this.cued = 0;
    this.end = 0;
  }

  /** Cues of `visemes`, in order of time; those that run backwards are left out. */
  add(cues) {
    for (const { t, d, v, w } of cues) {
      if (t < this.cued || !KNOWN.has(v)) continue;
      if (t - this.end >= PAUSE_MS) this.#aim("sil", this.end);
      if (d > 0 || v === "sil") this.#aim(visible(v, w), t);
      this.cued = t;
      this.end = Math.max(this.end, t + Math.max(d, 0));
    }
    const surplus = this.targets.length - MOST_SHAPES;
    if (surplus > 0) this.targets.splice(0, surplus);
  }

  at(ms) {
    let low = 0;
    let high = this.targets.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.targets[middle].from <= ms) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return CLOSED;
    const { from, full, shape, free } = this.targets[low - 1];
    const over = Math.max(this.end, free);
    if (ms >= over) return [shape, "sil", share((ms - over) / ATTACK_MS)];
    const before = this.targets[low - 2]?.shape ?? "sil";
    return [before, shape, ms >= full ? 1 : share((ms - from) / (full - from))];
  }

  #aim(shape, at) {
    const closure = CLOSURES.has(shape);
    let full = closure ? at : at + SETTLE_MS;
    let last = this.targets.at(-1);
    while (last && !CLOSURES.has(last.shape) && last.full >= full) {
      this.targets.pop(); // no time left to make it
      last = this.targets.at(-1);
    }
    if (last?.shape === shape) {
      if (closure) last.free = full + CLOSURE_MS;
      return;
    }
    let from = full - ATTACK_MS;
    if (last) from = Math.max(from, last.free);
    if (closure) from = Math.min(from, full);
    else if (last && CLOSURES.has(last.shape)) full = Math.max(full, from + CLOSURE_MS);
    this.targets.push({ from, full, shape, free: full + (closure ? CLOSURE_MS : 0) });
  }
}

/** One mouth over all replies. Times of `now` are of any clock that does not run backwards. */
export class Mouth {
  constructor() {
    this.track = null;
    this.now = CLOSED;
    this.playing = false;
    this.changed = -Infinity;
    this.last = -Infinity;
  }

  /** `visemes`; the first of another turn takes the place of the turn before. */
  add({ turn, cues }) {
    if (this.track?.turn !== turn) this.track = new Track(turn);
    this.track.add(cues);
  }

  forget() {
    this.track = null;
  }

  /** The mouth while the reply is at `position`; null while nothing is heard. */
  at(now, position) {
    const playing = position !== null;
    if (playing !== this.playing) {
      this.playing = playing;
      this.changed = playing ? now : this.last; // when it stopped is not known better
    }
    this.last = now;
    const since = now - this.changed;
    if (!playing) return [main(this.now), "sil", share(since / CLOSING_MS)];
    this.now = this.track?.at(position) ?? CLOSED;
    if (since < ATTACK_MS && position >= ATTACK_MS) {
      return ["sil", main(this.now), share(since / ATTACK_MS)]; // it goes on within a word
    }
    return this.now;
  }
}

/** The mouth of a call, on the clock of what is heard; `cursor()` is the speaker's. Cues of replies that
 * wait behind the one that is heard wait, too. Those of a reply stay until the next one is heard. */
export class Lips {
  constructor(cursor) {
    this.cursor = cursor;
    this.mouth = new Mouth();
    this.coming = [];
  }

  /** `visemes` of the server. */
  cues(message) {
    const heard = this.cursor()?.turn;
    if (heard === undefined || message.turn === heard) this.mouth.add(message);
    else this.coming = [...this.coming, message].slice(-MOST_COMING);
  }

  /** Another connection: its turns have other cues. */
  forget() {
    this.coming = [];
    this.mouth.forget();
  }

  /** The mouth now. */
  at(now) {
    const cursor = this.cursor();
    if (cursor !== null) this.#came(cursor.turn);
    const speaking = cursor !== null && cursor.sounding && this.mouth.track?.turn === cursor.turn;
    return this.mouth.at(now, speaking ? cursor.ms : null);
  }

  /** A reply that waited is heard now. */
  #came(turn) {
    if (this.coming.length === 0) return;
    for (const message of this.coming) if (message.turn === turn) this.mouth.add(message);
    this.coming = this.coming.filter((message) => message.turn > turn);
  }
}

/** The shape that shows most; of two that show alike the first by the list, as on the server. */
function main([before, after, done]) {
  if (done < 3 / 8) return before;
  if (done > 5 / 8) return after;
  return VISEMES.indexOf(before) < VISEMES.indexOf(after) ? before : after;
}

function share(value) {
  return Math.min(1, Math.max(0, value));
}

/** A faint vowel is a smaller one: a shape that is half there for long would be a ghost. */
function visible(shape, weight) {
  if (CLOSURES.has(shape) || weight >= 0.5) return shape;
  return weight < 0.1 ? "sil" : (SMALLER[shape] ?? shape);
}

// What a face does that says nothing: blinks, breathes, nods, and looks away at times. It repeats
// after LOOP_MS. The numbers are those of stages/avatar/timeline.py.

const BLINK_MS = 170;
const LID_MS = 40;
const SLOT_MS = 4000;
const SLOTS = 4;
const BLINKS_MS = [1555, 1020, 2239, 2224]; // in each slot // in each slot
const BREATH = 3;
const NOD = 6;
const NOD_MS = 420;
const MAX_HEAD = 7;
const NODS_MS = {
  listening: [[1, 1500], [2, 2700], [2, 3150]],
  speaking: [[0, 900], [2, 2300]],
};
const GLANCES_MS = { listening: [[0, 2100, 900]], speaking: [[1, 600, 700], [3, 1700, 500]] };

export const HEAD_STEPS = 640; // of the picture's height

/** The eyes that are shown, and how many steps the head is down. */
export function idle(mood, at) {
  const slot = Math.floor(at / SLOT_MS) % SLOTS;
  const within = at % SLOT_MS;
  const lids = blink(within - BLINKS_MS[slot]);
  let head = BREATH * Math.sin((2 * Math.PI * within) / SLOT_MS);
  for (const [nods, nod] of NODS_MS[mood] ?? []) {
    const since = within - nod;
    if (nods === slot && since >= 0 && since < NOD_MS) head += NOD * Math.sin((Math.PI * since) / NOD_MS) ** 2;
  }
  return { eyes: lids === "open" ? gaze(mood, slot, within) : lids, head: Math.min(head, MAX_HEAD) };
}

/** The lids so long after a blink has begun. */
export function blink(since) {
  if (since < 0 || since >= BLINK_MS) return "open";
  return since >= LID_MS && since < BLINK_MS - LID_MS ? "closed" : "half";
}

function gaze(mood, slot, within) {
  if (mood === "thinking") return "aside";
  for (const [glances, at, lasts] of GLANCES_MS[mood] ?? []) {
    if (glances === slot && within >= at && within < at + lasts) return mood === "listening" ? "down" : "aside";
  }
  return "open";
}
