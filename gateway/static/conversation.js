// What was said, by whom, and what of it was heard; and the captions under the face.

const NAMES = { parley: "Parley", you: "You" };

export class Conversation {
  /** `announced(text)` is called with each sentence of the interviewer's as it begins. */
  constructor(list, caption, announced) {
    this.list = list;
    this.caption = caption;
    this.heard = announced;
    this.replies = new Map(); // by turn
    this.answers = new Map();
    this.coming = []; // sentences that have been announced and not begun
    this.typing = []; // what was typed and has not been acknowledged
    this.restart();
  }

  restart() {
    this.list.replaceChildren();
    this.connected();
  }

  /** Turns count from 0 on each connection; what was said on the one before stays as it is. */
  connected() {
    this.list.querySelectorAll(".partial").forEach((item) => item.remove());
    this.replies.clear();
    this.answers.clear();
    this.coming = [];
    this.typing = [];
  }

  /** A partial or final transcript of what the person says. */
  transcript({ turn, text, final, confidence }) {
    if (final) this.#adopt(turn, text);
    else if (!text) return;
    const entry = this.#entry(this.answers, turn, "you");
    entry.words.textContent = text;
    entry.item.classList.toggle("partial", !final);
    if (final && confidence !== undefined) {
      entry.note.textContent = `understood with ${Math.round(confidence * 100)} % confidence`;
    }
    if (!final) this.#show("you", text);
    this.#follow();
  }

  typed(text) {
    const entry = this.#make("you");
    entry.words.textContent = text;
    entry.note.textContent = "typed";
    this.typing.push(entry);
    this.#follow();
  }

  /** The server repeats what was typed, behind what was being said meanwhile, if anything was. */
  #adopt(turn, text) {
    const found = this.typing.find(({ words }) => plain(text).endsWith(plain(words.textContent)));
    if (found === undefined) return;
    this.typing.splice(this.typing.indexOf(found), 1);
    if (this.answers.has(turn)) found.item.remove();
    else this.answers.set(turn, found);
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
    else if (next.turn === cursor.turn && cursor.ms >= (next.at ?? 0)) {
      this.coming.shift();
      this.#show("parley", next.text);
      this.heard(next.text);
    }
  }

  /** The reply is over; where it was interrupted, only a part was heard. */
  done({ turn, interrupted, heard }) {
    const entry = this.replies.get(turn);
    this.coming = this.coming.filter((sentence) => sentence.turn > turn);
    if (entry === undefined || !interrupted) return;
    const said = entry.words.textContent;
    entry.words.textContent = heard;
    const lost = document.createElement("del");
    lost.textContent = said.startsWith(heard) ? said.slice(heard.length) : "";
    entry.words.append(lost);
    entry.note.textContent = heard ? "interrupted; the rest was not heard" : "interrupted unheard";
  }

  say(text) {
    this.#show("", text);
  }

  #entry(entries, turn, who) {
    let entry = entries.get(turn);
    if (entry === undefined) {
      entry = this.#make(who);
      entries.set(turn, entry);
    }
    return entry;
  }

  #make(who) {
    const item = document.createElement("li");
    item.className = who;
    const name = document.createElement("b");
    name.textContent = NAMES[who];
    const words = document.createElement("p");
    words.dir = "auto";
    const note = document.createElement("small");
    item.append(name, words, note);
    this.list.append(item);
    return { item, words, note };
  }

  #show(who, text) {
    this.caption.className = who;
    this.caption.textContent = text;
  }

  #follow() {
    this.list.scrollTop = this.list.scrollHeight;
  }
}

function plain(text) {
  return text.trim().replace(/\s+/g, " ");
}
