// What may not have arrived where a line broke: typed answers, and results of functions.

const MOST_CALLS = 32;

/** What was typed and is not known to have been accepted. The server repeats a typed answer as a final
 * transcript, behind what was being said meanwhile, if anything was; and its transcript of the session
 * shows what has arrived where a line broke in between. */
export class Unsent {
  /** `waiting` are those of a page before this one. */
  constructor(waiting = []) {
    // {text, before, sent}: how many accepted answers ended like it already, and whether it may have
    // arrived; `number`, where the conversation has it, is its place among what was sent.
    this.waiting = waiting.map(({ text, before }) => ({ text, before, sent: true }));
    this.accepted = []; // what was said or typed, as the server has it
  }

  /** What had been said before this page was there: lines of the server's transcript. */
  restore(lines) {
    this.accepted = said(lines);
  }

  add(text) {
    const before = [...this.accepted, ...this.waiting.map((waiting) => waiting.text)];
    const item = { text, before: times(before, text), sent: false };
    this.waiting.push(item);
    return item;
  }

  /** A final transcript. Returns the item that has been accepted with it, undefined without one. */
  accept(text) {
    this.accepted.push(text);
    const found = this.waiting.find((waiting) => plain(text).endsWith(plain(waiting.text)));
    if (found !== undefined) this.waiting.splice(this.waiting.indexOf(found), 1);
    return found;
  }

  /** The server's transcript shows what has arrived: those items, which wait no longer. */
  arrived(lines) {
    const heard = said(lines);
    const found = this.waiting.filter(({ text, before }) => times(heard, text) > before);
    this.waiting = this.waiting.filter((waiting) => !found.includes(waiting));
    this.accepted.push(...found.map(({ text }) => text));
    return found;
  }

  /** What has arrived cannot be found out: those that may have, which wait no longer. */
  doubtful() {
    const found = this.waiting.filter(({ sent }) => sent);
    this.waiting = this.waiting.filter(({ sent }) => !sent);
    return found;
  }

  /** The server did not accept the oldest one; undefined where none waits. */
  refuse() {
    return this.waiting.shift();
  }
}

function said(lines) {
  return lines.filter(({ speaker }) => speaker === "candidate").map(({ text }) => text);
}

/** How many of the texts end like this one: what is typed is added to what was being said. */
function times(texts, text) {
  return texts.filter((one) => plain(one).endsWith(plain(text))).length;
}

function plain(text) {
  return text.trim().replace(/\s+/g, " ");
}

/** What functions of this page's returned. A result may be lost with the line, so it is sent again when the
 * line is back, as long as its reply waits for it: the gateway ignores one that it has. */
export class Results {
  constructor() {
    this.calls = new Map(); // by their ids: {turn, message}, without a message while nothing is returned
  }

  /** A message of the gateway: which calls there are, and whose reply is over. */
  take(message) {
    if (message.type === "tool.call") this.#called(message);
    if (message.type === "reply.done") this.#forget((turn) => turn === message.turn);
    if (message.type === "reply.started") this.#forget((turn) => turn < message.turn);
    if (message.type === "ready" && !message.resumed?.kept) this.calls.clear();
  }

  #called({ call_id: callId, turn }) {
    if (this.calls.has(callId)) return;
    this.calls.set(callId, { turn });
    if (this.calls.size > MOST_CALLS) this.calls.delete(this.calls.keys().next().value);
  }

  #forget(over) {
    for (const [callId, { turn }] of [...this.calls]) if (over(turn)) this.calls.delete(callId);
  }

  /** The message with a result. */
  add(callId, result) {
    const message = { type: "tool.result", call_id: callId, result };
    const call = this.calls.get(callId);
    if (call !== undefined) call.message = message;
    return message;
  }

  /** What may have been lost with the line. */
  get unsure() {
    return [...this.calls.values()].flatMap(({ message }) => message ?? []);
  }
}
