// How the line is, in the words at the top of the page.

const BACK = "Back in your interview";
const BACK_MS = 4000; // how long it is said that the line is there again

export class Line {
  constructor(at) {
    this.at = at;
    this.lost = false; // it was lost, and is not there again
  }

  get state() {
    return this.at("line").dataset.state;
  }

  /** Of an interview; `connected` are the words for a line that stands. Returns what is to be said of it
   * to everybody, "" for nothing. */
  show(state, words, connected) {
    const { at } = this;
    at("line").dataset.state = state;
    at("start").textContent = state === "connecting" ? "Connecting…" : "Start interview";
    at("line-words").textContent = words || { live: connected, ended: "Ended" }[state] || "";
    if (state === "silent" || state === "reconnecting") this.lost = true;
    if (state !== "live" || !this.lost) return "";
    this.lost = false;
    at("line-words").textContent = BACK;
    setTimeout(() => {
      if (this.state === "live") at("line-words").textContent = connected;
    }, BACK_MS);
    return BACK;
  }

  /** There is none, for this reason. */
  none(state, words) {
    this.at("line").dataset.state = state;
    this.at("line-words").textContent = words;
  }
}
