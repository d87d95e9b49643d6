// What the server makes of an interview that is over.

import { send } from "./access.js";

const TRIES = 6; // the session is let go a moment after the connection has closed
const NONE = "There is no report this time.";
const UNANSWERED = "No question was answered, so there is no report.";

/** `{words, link}`; the link is null where there is no report. */
export async function report(session) {
  const path = `/api/sessions/${session}`;
  for (let i = 0; i < TRIES; i += 1) {
    const answer = await send(`${path}/end`, { method: "POST" }).catch(() => null);
    const body = (await answer?.json().catch(() => null)) ?? {};
    if (body.report?.answered === 0 || body.code === "not_started") {
      return { words: UNANSWERED, link: null };
    }
    if (answer?.ok) {
      return { words: body.summary?.text ?? "", link: `${path}/report?format=html` };
    }
    if (body.code !== "session_live") break;
    await new Promise((resolve) => setTimeout(resolve, 400 * (i + 1)));
  }
  return { words: NONE, link: null };
}
