// The interviewer's voice, as far as it is heard here: its sound, and the words and mouth shapes that are
// due, on the one clock of what has been heard.

import { Speaker, latency } from "./speaker.js";
import { Lips } from "./timeline.js";

export class Voice {
  /** `tell(type, detail)` gets the events `caption`, `reply.heard`, `sounded` and `context`; `played(turn,
   * ms)` says how far a reply has been heard, each time that `acknowledge` is called. */
  constructor(tell, played) {
    this.tell = tell;
    this.played = played;
    this.speaker = null;
    this.captions = new Captions((caption) => tell("caption", caption));
    this.lips = new Lips(() => this.cursor());
    this.playing = null; // the turn whose reply is acknowledged
  }

  /** Call it in a click, where one is to be had. */
  async open() {
    const speaker = await Speaker.open((context) => this.tell("context", { context }));
    speaker.sounded = (report, context) => {
      this.tell("sounded", { ...report, context, behind: latency(context) });
    };
    this.speaker = speaker;
    this.frame = requestAnimationFrame(() => this.#step());
  }

  #step() {
    this.captions.playing(this.cursor());
    this.frame = requestAnimationFrame(() => this.#step());
  }

  cursor() {
    return this.speaker?.cursor() ?? null;
  }

  acknowledge() {
    const now = this.cursor();
    if (now !== null && this.playing === now.turn) this.played(now.turn, Math.floor(now.ms));
  }

  /** A message of the gateway: what is played, and when its words and shapes are due. */
  take(message) {
    const { speaker, captions } = this;
    switch (message.type) {
      case "ready":
        if (!message.resumed?.kept) this.#forget(); // nothing of the line before is said any more
        break;
      case "reply.started":
        this.playing = message.turn;
        speaker?.begin(message.turn);
        break;
      case "reply.audio":
        speaker?.anchor(message);
        break;
      case "reply.text":
        captions.announced(message);
        break;
      case "visemes":
        captions.timed(message);
        this.lips.cues(message);
        break;
      case "clear": // where the reply is paused, `reply.paused` follows
        speaker?.clear();
        break;
      case "reply.resumed":
        this.playing = message.turn;
        speaker?.begin(message.turn, message.at_ms);
        break;
      case "reply.done":
        this.#done(message);
        break;
    }
  }

  #forget() {
    this.speaker?.clear();
    this.captions.forget();
    this.lips.forget();
    this.playing = null;
  }

  #done({ turn, interrupted }) {
    if (this.playing === turn) this.playing = null;
    if (interrupted) {
      this.captions.interrupted(turn);
      return this.speaker?.clear();
    }
    this.speaker?.finish(turn, () => {
      this.captions.finished(turn);
      this.tell("reply.heard", { turn });
    });
  }

  /** Silence, at once. */
  clear() {
    this.speaker?.clear();
  }

  /** Once what is buffered has been heard, a second later at the latest. */
  async close() {
    const { speaker } = this;
    await speaker?.drained();
    cancelAnimationFrame(this.frame);
    this.speaker = null;
    await speaker?.close();
  }
}

class Captions {
  /** `shown({turn, text})` is called with each sentence as it begins. */
  constructor(shown) {
    this.shown = shown;
    this.forget();
  }

  /** Another connection: nothing of the one before is said any more. */
  forget() {
    this.coming = []; // sentences that have been announced and not begun: {turn, text, at}
    this.current = null;
  }

  /** `reply.text`: a sentence that is about to be spoken. */
  announced({ turn, text }) {
    this.coming.push({ turn, text, at: null });
  }

  /** `visemes`: mouth shapes tell where in the reply its sentences begin. */
  timed({ turn, start_ms: at }) {
    const next = this.coming.find((sentence) => sentence.turn === turn && sentence.at === null);
    if (next !== undefined) next.at = at;
  }

  /** Show the sentence that is heard at the speaker's cursor. */
  playing(cursor) {
    const next = this.coming[0];
    if (next === undefined || cursor === null) return;
    if (next.turn < cursor.turn) this.coming.shift();
    else if (next.turn === cursor.turn && this.#due(cursor)) this.#show(this.coming.shift());
  }

  /** Where a sentence's place is not known yet, or it has no sound, it comes when nothing sounds, or
   * when one after it does. */
  #due(cursor) {
    const known = this.coming.find(({ turn, at }) => turn === cursor.turn && at !== null);
    if (this.coming[0].at === null && !cursor.sounding) return true;
    return known !== undefined && cursor.ms >= known.at;
  }

  /** All of the reply has been played: what of it had no sound is shown. */
  finished(turn) {
    for (const sentence of this.coming.filter((one) => one.turn === turn)) this.#show(sentence);
    this.coming = this.coming.filter((one) => one.turn !== turn);
  }

  /** The rest of the reply, and of those before it, is not heard. */
  interrupted(turn) {
    this.coming = this.coming.filter((sentence) => sentence.turn > turn);
  }

  #show({ turn, text }) {
    this.current = { turn, text };
    this.shown(this.current);
  }
}
