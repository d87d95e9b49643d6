// What a program in TypeScript may do with the client, and what it may not: read by `tsc`, never run.

import { CallError, Gateway, Interview, LineLost, Microphone, Refused, devices } from "@parley/client";

const interview = new Interview("http://127.0.0.1:8000", { role: "Data Analyst", transport: "webrtc" });

interview.addEventListener("reply.text", ({ detail }) => {
  const text: string = detail.text;
  // @ts-expect-error there is no such field
  console.log(text, detail.words);
});
interview.addEventListener("transcript", ({ detail }) => detail.final && detail.words?.[0]?.start_ms);
interview.addEventListener("visemes", ({ detail }) => detail.cues.map(({ v }) => v === "aa"));
interview.addEventListener("line.broke", ({ detail }) => detail.reason.trim());
interview.addEventListener("typed", ({ detail }) => detail.state === "accepted" && detail.item.text);
interview.addEventListener("something.newer", (event) => event.type);

try {
  await interview.connect();
} catch (error) {
  if (error instanceof Refused || error instanceof LineLost) console.log((error as CallError).code);
}
interview.say("An answer.");
interview.mute();
interview.listen(await Microphone.open((await devices()).inputs[0]?.id));
const [from, to, share] = interview.mouth();
console.log(from === "PP", to, share.toFixed(1), interview.cursor()?.ms);
interview.end();
await interview.close();

const gateway = new Gateway("https://interviews.example.org", { ticket: "pt_…" });
new Interview(gateway, { session: "5f1c", unsent: [] });
// @ts-expect-error there is no such transport
new Interview(gateway, { transport: "pigeon" });
