// What the person does in an interview: mute, interrupt, end it, and type an answer.

export class Controls {
  /** `mute()` returns whether it is muted now; Space and Escape work while it is `live()`. */
  constructor(at, live, { mute, interrupt, end }) {
    this.at = at;
    this.live = live;
    this.mute = mute;
    this.interrupt = interrupt;
    at("mute").addEventListener("click", () => this.#mute());
    at("interrupt").addEventListener("click", () => this.#interrupt());
    at("end").addEventListener("click", () => {
      at("end").disabled = true;
      end();
    });
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  /** For the next interview, in which nobody is muted. */
  ready() {
    this.at("end").disabled = false;
    this.at("mute").setAttribute("aria-pressed", "false");
  }

  #mute() {
    this.at("mute").setAttribute("aria-pressed", String(this.mute()));
  }

  #interrupt() {
    if (this.live() && !this.at("interrupt").disabled) this.interrupt();
  }

  #pressed(event) {
    // In a list that is open, and in a search, Escape has a meaning of its own.
    const taken = composing(event) || event.target.matches?.("select, [type=search]");
    if (event.key === "Escape" && !taken) this.#interrupt();
    // On a button it presses, in a field it is a space, on a list it scrolls: that stays so.
    const free = event.target === document.body || event.target === this.at("conversation");
    if (event.key !== " " || !free || !this.live() || this.at("mute").disabled) return;
    event.preventDefault();
    if (!event.repeat) this.#mute();
  }
}

/** Whether the key is one of the input method. Safari ends a composition before the key that ends it,
 * whose code is 229. */
function composing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** The field for typed answers. */
export class AnswerField {
  /** `send(text)` returns whether the text was taken; `changed(text)` tells what stands there. */
  constructor(form, field, { send, changed }) {
    this.form = form;
    this.field = field;
    this.send = send;
    this.changed = changed;
    form.addEventListener("submit", (event) => this.#submit(event));
    field.addEventListener("input", () => changed(field.value));
    field.addEventListener("keydown", (event) => this.#pressed(event));
  }

  focus() {
    this.field.focus();
  }

  /** Put text there, before what has been begun meanwhile. */
  give(text) {
    if (text === "" || text === this.field.value) return;
    this.field.value = [text, this.field.value].filter(Boolean).join("\n");
    this.changed(this.field.value);
  }

  #submit(event) {
    event.preventDefault();
    const text = this.field.value.trim();
    if (text === "" || !this.send(text)) return;
    this.field.value = "";
    this.changed("");
  }

  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || composing(event)) return;
    event.preventDefault();
    this.form.requestSubmit();
  }
}
