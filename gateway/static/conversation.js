// What was said, by whom, and what of it was heard; and the captions under the face.

const NAMES = { parley: "Parley", you: "You" };
const SPEAKERS = { interviewer: "parley", candidate: "you" };
const NOTES = { sending: "sending…", unsent: "not sent yet", accepted: "typed" };

export class Conversation {
  constructor(list, caption) {
    this.list = list;
    this.caption = caption;
    this.replies = new Map(); // by turn
    this.answers = new Map();
    this.typing = new Map(); // entries of what was typed and has not been accepted
    this.language = "en"; // of the interview; the page's own words are English
    this.atEnd = true; // whether the end of the list is looked at
    this.top = 0;
    list.addEventListener("scroll", () => {
      // Told late, when more may stand below: only who scrolls up has left the end.
      if (list.scrollTop + list.clientHeight >= list.scrollHeight - 8) this.atEnd = true;
      else if (list.scrollTop < this.top) this.atEnd = false;
      this.top = list.scrollTop;
    });
    new ResizeObserver(() => this.atEnd && this.#follow()).observe(list);
    this.restart();
  }

  restart() {
    this.list.replaceChildren();
    this.typing.clear();
    this.connected();
  }

  /** What was said before this page was loaded, by the server, and what of it had not reached it. */
  restore(lines, unsent) {
    for (const { speaker, text, interrupted } of lines) {
      const entry = this.#make(SPEAKERS[speaker]);
      entry.words.textContent = text;
      if (interrupted) entry.note.textContent = "interrupted";
    }
    for (const item of unsent) this.#wait(item).note.textContent = NOTES.unsent;
    this.#follow();
  }

  /** Which language is spoken, for screen readers. */
  speaks(language) {
    this.language = language;
    this.list.lang = language;
  }

  /** Turns count from 0 on each connection; what was said on the one before stays as it is. */
  connected() {
    this.list.querySelectorAll(".partial").forEach((item) => item.remove());
    this.replies.clear();
    this.answers.clear();
  }

  /** A partial or final transcript of what the person says. */
  transcript({ turn, text, final, confidence }) {
    if (!final && !text) return;
    // What is said while they are waited for, such as "One moment", may stand there already.
    const entry = this.#entry(this.answers, turn, "you", this.replies.get(turn)?.item);
    entry.words.textContent = text;
    entry.item.classList.toggle("partial", !final);
    if (final && confidence !== undefined) {
      entry.note.textContent = `understood with ${Math.round(confidence * 100)} % confidence`;
    }
    if (!final) this.#show("you", text);
    this.#follow();
  }

  /** What was typed is being sent, is accepted in a turn, or is given back. */
  typed({ item, state, turn }) {
    const entry = this.typing.get(item) ?? this.#wait(item);
    if (state === "refused") entry.item.remove();
    else entry.note.textContent = NOTES[state];
    if (state === "accepted" || state === "refused") this.typing.delete(item);
    if (state !== "accepted" || turn === undefined) return;
    // The server repeats it, behind what was being said meanwhile, if anything was.
    if (this.answers.has(turn)) entry.item.remove();
    else this.answers.set(turn, entry);
  }

  #wait(item) {
    const entry = this.#make("you");
    entry.words.textContent = item.text;
    this.typing.set(item, entry);
    this.#follow();
    return entry;
  }

  /** A turn that ends before it was understood goes on in the next one. */
  speaking(turn) {
    for (const [number, entry] of this.answers) {
      if (number < turn && entry.item.classList.contains("partial")) {
        entry.item.remove();
        this.answers.delete(number);
      }
    }
  }

  /** A sentence that is about to be spoken. */
  announced({ turn, text }) {
    const entry = this.#entry(this.replies, turn, "parley");
    entry.words.textContent = `${entry.words.textContent} ${text}`.trim();
    this.#follow();
  }

  /** The sentence that is being heard, under the face. */
  heard(text) {
    this.#show("parley", text);
  }

  /** The reply is over; where it was interrupted, only a part was heard. */
  done({ turn, interrupted, heard }) {
    const entry = this.replies.get(turn);
    if (!interrupted) return; // what is still being played goes on to its end
    if (entry === undefined) return;
    const said = entry.words.textContent;
    entry.words.textContent = heard;
    const lost = document.createElement("del");
    lost.textContent = said.startsWith(heard) ? said.slice(heard.length) : "";
    entry.words.append(lost);
    entry.note.textContent = heard ? "interrupted; the rest was not heard" : "interrupted unheard";
    if (this.atEnd) this.#follow();
  }

  say(text) {
    this.#show("", text);
  }

  #entry(entries, turn, who, following) {
    let entry = entries.get(turn);
    if (entry === undefined) {
      entry = this.#make(who, following);
      entries.set(turn, entry);
    }
    return entry;
  }

  /** Before the item that is `following`, or at the end. */
  #make(who, following) {
    const item = document.createElement("li");
    item.className = who;
    const name = document.createElement("b");
    name.textContent = NAMES[who];
    name.lang = "en";
    const words = document.createElement("p");
    words.dir = "auto";
    const note = document.createElement("small");
    note.lang = "en";
    item.append(name, words, note);
    this.list.insertBefore(item, following ?? null);
    return { item, words, note };
  }

  #show(who, text) {
    this.caption.className = who;
    this.caption.lang = who === "" ? "en" : this.language;
    this.caption.textContent = text;
  }

  #follow() {
    this.atEnd = true;
    this.list.scrollTop = this.list.scrollHeight;
  }
}

/** How far the interview has come, in words and as a bar. */
export function progress(words, bar, { currentQuestion, totalQuestions, isComplete }) {
  words.textContent = isComplete
    ? "All questions answered"
    : `Question ${Math.max(1, currentQuestion)} of ${totalQuestions}`;
  bar.max = totalQuestions;
  bar.value = isComplete ? totalQuestions : Math.max(0, currentQuestion - 1);
}
