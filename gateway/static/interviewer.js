// The interviewer, as far as this page shows it: voice, face, mood and captions, on the one clock of
// what has been heard here.

import { Drawing } from "./face.js";
import { gallery } from "./gallery.js";
import { Picture } from "./picture.js";

const WORDS = {
  idle: "Your turn",
  listening: "Listening to you",
  thinking: "Thinking…",
  speaking: "Parley is speaking",
};

export class Interviewer {
  /** What else is to be said of the moment is `aside(mood)`, "" for nothing. */
  constructor(at, conversation, { aside }) {
    this.conversation = conversation;
    this.interview = null;
    const cursor = () => this.interview?.cursor() ?? null;
    this.gallery = gallery;
    this.picture = new Picture(at("portrait"), at("video"), at("frames"), cursor);
    this.mood = new Mood(at("portrait"), at("mood"), { cursor, aside }, (name) => {
      at("interrupt").disabled = name !== "speaking" && name !== "thinking";
      this.gallery.state(name);
    });
    this.drawing = new Drawing(() => this.#step(), () => cursor() !== null);
  }

  #step() {
    this.mood.look();
    this.picture.step();
  }

  /** From now on it is the one of this interview. */
  follow(interview) {
    this.interview = interview;
    this.gallery.mouth = (now) => interview.mouth(now);
    const played = ({ detail }) => this.interview === interview && this.picture.play(detail.track);
    interview.addEventListener("video", played);
  }

  /** A message of the server about its reply, its face or its mood. */
  take(message) {
    const { conversation } = this;
    switch (message.type) {
      case "ready":
        if (!message.resumed?.kept) this.picture.forget(); // another connection
        break;
      case "reply.text":
        conversation.announced(message);
        break;
      case "avatar.frame":
        this.picture.frame(message);
        break;
      case "clear":
        this.picture.clear();
        break;
      case "reply.done":
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

  close() {
    this.picture.play(null);
    this.mood.set("idle");
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
