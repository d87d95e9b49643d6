// What the server has stored of an interview.

import { send } from "./access.js";

const ASK_MS = 4000;
const TRIES = 3;
const AGAIN_MS = 500;

/** The session, null where there is none any more, undefined where the server does not say. */
export async function stored(session) {
  const answer = await get(`/api/sessions/${session}`);
  if (answer?.status === 404) return null;
  return answer?.ok ? answer.json() : undefined;
}

/** What was said so far: a list of `{speaker, text, interrupted}`, undefined where it is unknown. */
export async function transcript(session) {
  const answer = await get(`/api/sessions/${session}/transcript`);
  if (answer?.status === 409 || answer?.status === 404) return []; // nothing was said yet
  if (answer === null) return undefined;
  return answer.ok ? (await answer.json()).lines : []; // it is nobody's business any more
}

async function get(path) {
  for (let i = 0; i < TRIES; i += 1) {
    const asked = { cache: "no-store", signal: AbortSignal.timeout(ASK_MS) };
    const answer = await send(path, asked).catch(() => null);
    if (answer !== null && answer.status < 500) return answer;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  return null;
}
