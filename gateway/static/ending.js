// What stands on the page when the interview is over: how it ended, what came of it, and what can be
// done next.

import { gateway } from "./access.js";

const TRIES = 6; // the session is let go a moment after the connection has closed
const MAKING_MS = 60000; // what the server may take: a chat model may read all answers
const THANKS = "One moment, the report is being made…";
const NONE = "There is no report this time.";
const LATER =
  "There is no report yet: the server did not answer in time. What you said is kept; load this page again later.";
const UNANSWERED = "No question was answered, so there is no report.";
const AGAIN = "Practise again";
const ANOTHER = "Begin another one";
const KEPT =
  "What was said is kept, and so is what you were typing. Parley goes on when you press the button.";
const CIRCLE = 2 * Math.PI * 52;

/** What the server makes of an interview that is over: `{words, link, result, known}`, the link null
 * where there is no report, and not `known` where the server does not say. */
export async function report(session) {
  const path = `/api/sessions/${session}`;
  for (let i = 0; i < TRIES; i += 1) {
    const asked = { method: "POST", signal: AbortSignal.timeout(MAKING_MS) };
    const answer = await gateway.fetch(`${path}/end`, asked).catch(() => null);
    const body = (await answer?.json().catch(() => null)) ?? {};
    if (body.report?.answered === 0 || body.code === "not_started") {
      return { words: UNANSWERED, link: null, known: true };
    }
    if (answer?.ok) {
      const words = body.report?.feedback?.headline ?? body.summary?.text ?? "";
      const link = `${gateway.url}${path}/report?format=html`;
      return { words, link, result: body.report ?? null, known: true };
    }
    const silent = answer === null || answer.status >= 500; // it is being started again
    if (body.code !== "session_live" && !silent) return { words: NONE, link: null, known: true };
    await new Promise((resolve) => setTimeout(resolve, 400 * (i + 1)));
  }
  return { words: LATER, link: null, known: false };
}

export class Ending {
  constructor(at) {
    this.at = at;
  }

  /** `words` say why it is over before its end, "" after that. What `broke` off can be gone on with. */
  show(words, broke) {
    this.at("report").hidden = true;
    this.at("result").hidden = this.at("next").hidden = true;
    this.at("go-on").hidden = !broke;
    this.at("again").textContent = AGAIN;
    this.at("after-words").textContent = words || THANKS;
    const title = words ? "The interview broke off." : "That was the interview.";
    this.at("after-title").textContent = title;
    this.at("after-title").focus();
  }

  /** The page was loaded again in the interview. */
  waits() {
    this.at("report").hidden = this.at("result").hidden = this.at("next").hidden = true;
    this.at("after-title").textContent = "Go on with your interview?";
    this.at("after-words").textContent = KEPT;
    this.at("again").textContent = ANOTHER;
    this.at("go-on").hidden = false;
    this.at("go-on").focus();
  }

  /** What the server has made of it. */
  reported(words, { words: told, link, result }) {
    this.at("after-words").textContent = `${words} ${told}`.trim();
    if (link === null) return;
    if (result) this.#result(result);
    this.at("report").href = link;
    this.at("report").hidden = false;
    if (document.activeElement === this.at("after-title")) this.at("report").focus();
  }

  #result({ overall, answered, questions, scored, feedback }) {
    this.at("score-bar").style.display = overall === null ? "none" : "";
    this.at("score").textContent = overall ?? "–";
    this.at("score-bar").style.strokeDasharray = `${((overall ?? 0) / 100) * CIRCLE} ${CIRCLE}`;
    const answers = `${answered} of ${questions} questions answered, ${scored} scored`;
    this.at("rests").textContent = overall === null
      ? `Not scored: ${answers}.`
      : `${overall} of 100, the mean of the answers that could be scored: ${answers}.`;
    this.at("result").hidden = false;
    const step = feedback?.nextStep ?? "";
    this.at("next-step").textContent = step;
    this.at("next").hidden = step === "";
  }
}
