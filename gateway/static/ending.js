// What stands on the page when the interview is over: how it ended, and what can be done next.

const THANKS = "One moment, the report is being made…";

export class Ending {
  constructor(at) {
    this.at = at;
  }

  /** `words` say why it is over before its end, "" after that. What `broke` off can be gone on with. */
  show(words, broke) {
    this.at("report").hidden = true;
    this.at("go-on").hidden = !broke;
    this.at("after-words").textContent = words || THANKS;
    const title = words ? "The interview broke off." : "That was the interview.";
    this.at("after-title").textContent = title;
    this.at("after-title").focus();
  }

  /** What the server has made of it. */
  reported(words, made) {
    this.at("after-words").textContent = `${words} ${made.words}`.trim();
    if (made.link === null) return;
    this.at("report").href = made.link;
    this.at("report").hidden = false;
    if (document.activeElement === this.at("after-title")) this.at("report").focus();
  }
}
