// What the interviewer does, as the page shows it: what the server says, but speaking until the last
// word has been heard here.

const WORDS = { idle: "", listening: "listening", thinking: "thinking", speaking: "speaking" };

export class Mood {
  /** `shown(name)` is called with each change. */
  constructor(portrait, words, cursor, shown) {
    this.portrait = portrait;
    this.words = words;
    this.cursor = cursor;
    this.changed = shown;
    this.told = "idle";
    this.shown = null;
    this.look();
  }

  /** `avatar.state` of the server. */
  set(name) {
    this.told = name;
    this.look();
  }

  look() {
    const name = this.told === "idle" && this.cursor()?.sounding ? "speaking" : this.told;
    if (name === this.shown) return;
    this.shown = name;
    this.portrait.dataset.state = name;
    this.words.textContent = WORDS[name] || "\u00a0";
    this.changed(name);
  }
}
