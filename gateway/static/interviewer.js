// The interviewer, as far as this page shows it: voice, face, mood and captions, on the one clock of
// what has been heard here.

import { gallery } from "./gallery.js";
import { Picture } from "./picture.js";
import { Speaker } from "./client/speaker.js";

const PLAYED_EVERY_MS = 200;
const WORDS = {
  idle: "Your turn",
  listening: "Listening to you",
  thinking: "Thinking…",
  speaking: "Parley is speaking",
};

export class Interviewer {
  /** `played(turn, ms)` tells how far the server's reply has been heard; `sounded` gets what is heard,
   * 20 ms at a time. What else is to be said of the moment is `aside(mood)`, "" for nothing. */
  constructor(at, conversation, { played, sounded, aside }) {
    this.conversation = conversation;
    this.speaker = null;
    this.sounded = sounded;
    this.sink = ""; // the output device
    this.playing = null; // the reply that is acknowledged
    const cursor = () => this.cursor();
    this.gallery = gallery;
    gallery.cursor = cursor;
    this.picture = new Picture(at("portrait"), at("video"), at("frames"), cursor);
    this.mood = new Mood(at("portrait"), at("mood"), { cursor, aside }, (name) => {
      at("interrupt").disabled = name !== "speaking" && name !== "thinking";
      this.gallery.state(name);
    });
    setInterval(() => {
      const now = cursor();
      if (now !== null && this.playing === now.turn) played(now.turn, Math.floor(now.ms));
    }, PLAYED_EVERY_MS);
    requestAnimationFrame(() => this.#step());
  }

  #step() {
    this.conversation.playing(this.cursor());
    this.mood.look();
    requestAnimationFrame(() => this.#step());
  }

  /** Call it in a click, where one is to be had; `watch` gets each sound that is opened. */
  async open(watch) {
    this.speaker = await Speaker.open(watch);
    this.speaker.sounded = this.sounded;
    if (this.sink) this.speaker.use(this.sink);
  }

  /** The output device. */
  use(sink) {
    this.sink = sink;
    this.speaker?.use(sink);
  }

  cursor() {
    return this.speaker?.cursor() ?? null;
  }

  /** Reply audio in a piece. */
  audio(buffer) {
    this.speaker?.push(buffer);
  }

  /** What comes over WebRTC; null when that is over. */
  track(media, receiver) {
    if (media?.kind !== "video") {
      this.speaker?.listen(media, receiver).catch((error) => console.warn(error));
    }
    if (media?.kind !== "audio") this.picture.play(media);
  }

  /** Another connection: nothing of the one before is said any more. */
  connected() {
    this.speaker.clear();
    this.gallery.face?.forget();
    this.picture.forget();
    this.playing = null;
  }

  /** A message of the server about its reply, its face or its mood. */
  take(message) {
    const { speaker, conversation } = this;
    switch (message.type) {
      case "reply.started":
        this.playing = message.turn;
        speaker.begin(message.turn);
        break;
      case "reply.audio":
        speaker.anchor(message);
        break;
      case "reply.text":
        conversation.announced(message);
        break;
      case "visemes":
        conversation.timed(message);
        this.gallery.face?.cues(message);
        break;
      case "avatar.frame":
        this.picture.frame(message);
        break;
      case "clear": // where the reply is paused, `reply.paused` follows
        this.silence();
        break;
      case "reply.resumed":
        this.playing = message.turn;
        speaker.begin(message.turn, message.at_ms);
        break;
      case "reply.done":
        if (this.playing === message.turn) this.playing = null;
        if (message.interrupted) speaker.clear();
        else speaker.finish(message.turn, () => conversation.finished(message.turn));
        conversation.done(message);
        break;
      case "avatar.state":
        this.mood.set(message.state);
        break;
      case "degraded":
        if (message.stage === "avatar") this.picture.degraded(message);
        break;
    }
  }

  /** At once: nothing of the reply is heard any more. */
  silence() {
    this.speaker?.clear();
    this.picture.clear();
  }

  /** Resolves once what is buffered has been heard, a second later at the latest. */
  async drained() {
    await this.speaker?.drained();
  }

  close() {
    this.picture.play(null);
    this.speaker?.close();
    this.speaker = null;
    this.mood.set("idle");
    this.playing = null;
  }
}

/** What the interviewer does, as the page shows it: what the server says, but speaking until the last
 * word has been heard here. */
class Mood {
  /** `shown(name)` is called with each change. */
  constructor(portrait, words, { cursor, aside }, shown) {
    this.portrait = portrait;
    this.words = words;
    this.cursor = cursor;
    this.aside = aside;
    this.changed = shown;
    this.told = "idle";
    this.shown = null;
    requestAnimationFrame(() => this.look());
  }

  /** `avatar.state` of the server. */
  set(name) {
    this.told = name;
    this.look();
  }

  look() {
    const name = this.told === "idle" && this.cursor()?.sounding ? "speaking" : this.told;
    const words = this.aside(name) || WORDS[name];
    if (words !== this.words.textContent) this.words.textContent = words;
    if (name === this.shown) return;
    this.shown = name;
    this.portrait.dataset.state = name;
    this.changed(name);
  }
}
