// What came and went in this interview, message by message: to look through, copy, and take away.

import { made } from "./made.js";

const MOST_KEPT = 5000;
const MOST_SHOWN = 300;
const UNSAID = new Set(["ping", "pong", "played", "avatar.frame"]); // many of them, and they tell nothing
const KINDS = {
  words: ["transcript", "reply.text", "text"],
  turns: [
    "speech.started", "speech.stopped", "reply.started", "reply.done", "reply.paused",
    "reply.resumed", "clear", "interrupt", "interview", "avatar.state",
  ],
  trouble: ["degraded", "error", "breaker", "line", "going_away"],
};

export class Log {
  /** `at(id)` finds the parts: `log`, `log-kind`, `log-words`, `log-count`, `log-told`, `log-copy`, `log-save`. */
  constructor(at) {
    this.at = at;
    for (const id of ["log-kind", "log-words"]) at(id).addEventListener("input", () => this.#choose());
    at("log-copy").addEventListener("click", () => this.#copy());
    at("log-save").addEventListener("click", () => this.#save());
    this.restart();
  }

  restart() {
    this.events = [];
    this.began = performance.now();
    this.session = "";
    this.#show();
  }

  /** A message, by its side: the "server" or the "page". */
  add(side, message) {
    if (UNSAID.has(message.type)) return;
    const event = { t: Math.round(performance.now() - this.began), side, ...message };
    this.events.push(event);
    if (this.events.length > MOST_KEPT) this.events.shift();
    if (this.open && this.#wanted(event)) this.#append(event);
    this.#count();
  }

  /** It is looked at, or not. */
  shown(open) {
    this.open = open;
    if (open) this.#show();
  }

  #wanted(event) {
    const kind = this.at("log-kind").value;
    const words = this.at("log-words").value.trim().toLowerCase();
    if (kind !== "" && !KINDS[kind].includes(event.type)) return false;
    return words === "" || JSON.stringify(event).toLowerCase().includes(words);
  }

  get #chosen() {
    return this.events.filter((event) => this.#wanted(event));
  }

  /** Who does not see the list is told how long it is; what comes later is not told one by one. */
  #choose() {
    this.#show();
    this.at("log-told").textContent = `${this.#chosen.length} shown`;
  }

  #show() {
    this.at("log").replaceChildren();
    for (const event of this.#chosen.slice(-MOST_SHOWN)) this.#append(event);
    this.#count();
  }

  #append(event) {
    const list = this.at("log");
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
    const { t, side, type, seq, ...rest } = event;
    const item = made("li", side);
    const seconds = (t / 1000).toFixed(3);
    item.append(made("span", "at", seconds), made("b", "", type), made("span", "", brief(rest)));
    list.append(item);
    while (list.childElementCount > MOST_SHOWN) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  #count() {
    const { length } = this.events;
    const words = length === 1 ? "1 event" : `${length} events`;
    if (this.open) this.at("log-count").textContent = words;
    for (const id of ["log-copy", "log-save"]) this.at(id).disabled = length === 0;
  }

  /** Those that are chosen, as JSON lines. */
  get lines() {
    return this.#chosen.map((event) => `${JSON.stringify(event)}\n`).join("");
  }

  async #copy() {
    const copied = await navigator.clipboard?.writeText(this.lines).then(() => true, () => false);
    this.at("log-told").textContent = copied ? "Copied." : "This browser does not let the page copy.";
  }

  #save() {
    const link = made("a");
    link.href = URL.createObjectURL(new Blob([this.lines], { type: "application/x-ndjson" }));
    link.download = `parley-${this.session || "session"}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}

function brief(rest) {
  const { cues, ...told } = rest;
  if (cues !== undefined) told.cues = cues.length;
  const text = JSON.stringify(told).slice(1, -1);
  return text.length > 240 ? `${text.slice(0, 240)}…` : text;
}
