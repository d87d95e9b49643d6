// What was said, by whom, and what of it was heard; and the captions under the face.

const NAMES = { parley: "Parley", you: "You" };
const SPEAKERS = { interviewer: "parley", candidate: "you" };
const SENDING = "sending…";
const UNSENT = "not sent yet";
const TYPED = "typed";

export class Conversation {
  /** `announced(text)` is called with each sentence of the interviewer's as it begins, `unsent(list)`
   * when what was typed and is not accepted has changed. */
  constructor(list, caption, { announced, unsent }) {
    this.list = list;
    this.caption = caption;
    this.heard = announced;
    this.unsent = unsent;
    this.replies = new Map(); // by turn
    this.answers = new Map();
    this.coming = []; // sentences that have been announced and not begun
    this.typing = []; // what was typed and has not been accepted: {text, before, entry}
    this.accepted = []; // what was said or typed, as the server has it
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
    this.typing = [];
    this.accepted = [];
    this.connected();
  }

  /** What was said before this page was loaded, by the server, and what had not reached it. */
  restore(lines, unsent) {
    for (const { speaker, text, interrupted } of lines) {
      const entry = this.#make(SPEAKERS[speaker]);
      entry.words.textContent = text;
      if (interrupted) entry.note.textContent = "interrupted";
      if (speaker === "candidate") this.accepted.push(text);
    }
    for (const { text, before } of unsent) this.#wait(text, before, UNSENT);
    this.#follow();
  }

  get waits() {
    return this.typing.length > 0;
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
    this.coming = [];
  }

  /** A partial or final transcript of what the person says. */
  transcript({ turn, text, final, confidence }) {
    if (final) {
      this.accepted.push(text);
      this.#adopt(turn, text);
    } else if (!text) return;
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

  typed(text) {
    const before = [...this.accepted, ...this.typing.map((waiting) => waiting.text)];
    this.#wait(text, this.#times(before, text), SENDING);
    this.#follow();
  }

  /** The line is lost, so nobody knows what of it has arrived; or it is there again. */
  lost(lost) {
    for (const { entry } of this.typing) entry.note.textContent = lost ? UNSENT : SENDING;
  }

  /** The server's transcript shows what has arrived. Returns the texts that have not. */
  arrived(lines) {
    const said = lines.filter(({ speaker }) => speaker === "candidate").map(({ text }) => text);
    for (const waiting of [...this.typing]) {
      if (this.#times(said, waiting.text) <= waiting.before) continue;
      this.accepted.push(waiting.text);
      this.#taken(waiting);
    }
    this.lost(false);
    return this.typing.map(({ text }) => text);
  }

  /** The server did not accept the oldest text; it is given back. */
  refused() {
    const [first] = this.typing;
    if (first === undefined) return "";
    this.typing.shift();
    first.entry.item.remove();
    this.#tell();
    return first.text;
  }

  #wait(text, before, note) {
    const entry = this.#make("you");
    entry.words.textContent = text;
    entry.note.textContent = note;
    this.typing.push({ text, before, entry });
    this.#tell();
  }

  #taken(waiting) {
    waiting.entry.note.textContent = TYPED;
    this.typing.splice(this.typing.indexOf(waiting), 1);
    this.#tell();
  }

  #tell() {
    this.unsent(this.typing.map(({ text, before }) => ({ text, before })));
  }

  /** How many of the texts end like this one: what is typed is added to what was being said. */
  #times(texts, text) {
    return texts.filter((one) => plain(one).endsWith(plain(text))).length;
  }

  /** The server repeats what was typed, behind what was being said meanwhile, if anything was. */
  #adopt(turn, text) {
    const found = this.typing.find((waiting) => plain(text).endsWith(plain(waiting.text)));
    if (found === undefined) return;
    this.#taken(found);
    if (this.answers.has(turn)) found.entry.item.remove();
    else this.answers.set(turn, found.entry);
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
    this.coming.push({ turn, text, at: null });
    this.#follow();
  }

  /** Mouth shapes tell where in the reply its sentences begin. */
  timed({ turn, start_ms: at }) {
    const next = this.coming.find((sentence) => sentence.turn === turn && sentence.at === null);
    if (next !== undefined) next.at = at;
  }

  /** Put the sentence under the face that is being heard. */
  playing(cursor) {
    const next = this.coming[0];
    if (next === undefined || cursor === null) return;
    if (next.turn < cursor.turn) this.coming.shift();
    else if (next.turn === cursor.turn && this.#due(cursor)) {
      this.coming.shift();
      this.#show("parley", next.text);
      this.heard(next.text);
    }
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
    for (const sentence of this.coming.filter((one) => one.turn === turn)) {
      this.#show("parley", sentence.text);
      this.heard(sentence.text);
    }
    this.coming = this.coming.filter((one) => one.turn !== turn);
  }

  /** The reply is over; where it was interrupted, only a part was heard. */
  done({ turn, interrupted, heard }) {
    const entry = this.replies.get(turn);
    if (!interrupted) return; // what is still being played goes on to its end
    this.coming = this.coming.filter((sentence) => sentence.turn > turn);
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

function plain(text) {
  return text.trim().replace(/\s+/g, " ");
}

/** How far the interview has come, in words and as a bar. */
export function progress(words, bar, { currentQuestion, totalQuestions, isComplete }) {
  words.textContent = isComplete
    ? "All questions answered"
    : `Question ${Math.max(1, currentQuestion)} of ${totalQuestions}`;
  bar.max = totalQuestions;
  bar.value = isComplete ? totalQuestions : Math.max(0, currentQuestion - 1);
}
