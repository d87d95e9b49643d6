// A microphone that is tried before an interview: whether it hears anything, in words.

const AUDIBLE = 0.01; // of full scale; a quiet room has a tenth of that
const PATIENCE_MS = 3000;

const SPEAK = "Say something…";
const HEARD = "You are heard.";
const NOTHING =
  "Nothing is heard yet. Is it the right microphone, is it switched on, and not muted?";

export class Trial {
  /** The words go to `element`. */
  constructor(element) {
    this.element = element;
    this.on = false;
  }

  begin() {
    this.end();
    this.on = true;
    this.#say(SPEAK);
    this.waiting = setTimeout(() => this.#say(NOTHING), PATIENCE_MS);
  }

  /** 20 ms of the microphone, as loud as this. */
  heard(level) {
    if (!this.on || level < AUDIBLE) return;
    clearTimeout(this.waiting);
    this.#say(HEARD);
  }

  end() {
    this.on = false;
    clearTimeout(this.waiting);
    this.#say("");
  }

  #say(words) {
    if (this.element.textContent !== words) this.element.textContent = words;
  }
}
