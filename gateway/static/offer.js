// Before the interview: the offer to go on with one that was left.

export class Offer {
  /** `go()` and `forget()` are what the person chooses. */
  constructor(at, { go, forget }) {
    this.at = at;
    at("offer-go").addEventListener("click", go);
    at("offer-forget").addEventListener("click", () => {
      forget();
      this.shown(false);
      at("start").focus();
    });
  }

  /** What the server has stored of it, undefined where that is not known. */
  describe(found) {
    const role = found ? ` for ${found.role}` : "";
    const asked = found?.interview?.currentQuestion ?? 0;
    const reached = asked > 0 ? `, at question ${asked} of ${found.totalQuestions}` : "";
    this.at("offer-words").textContent = `You have an interview${role} that is not over${reached}.`;
    this.shown(true);
  }

  shown(wanted) {
    this.at("offer").hidden = !wanted;
  }
}
