// The field for typed answers.

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

  /** Put text there, unless something else has been begun. */
  give(text) {
    if (this.field.value === "") this.field.value = text;
  }

  #submit(event) {
    event.preventDefault();
    const text = this.field.value.trim();
    if (text === "" || !this.send(text)) return;
    this.field.value = "";
    this.changed("");
  }

  #pressed(event) {
    // Safari ends a composition before the Enter that ends it: 229 is a key of the input method.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    this.form.requestSubmit();
  }
}
