// What the page knows of its own line, sound and picture, by name, in words for people.

export const NAMES = { webrtc: "WebRTC", websocket: "WebSocket" };

const CARRIES = { webrtc: "Opus both ways", websocket: "PCM16, 16 kHz up, 24 kHz down" };
const PICTURES = { video: "video from the server", frames: "pictures from the server" };

export async function facts(interview, picture) {
  const { way: kind, why } = interview;
  const { roundTripMs, queuedMs, underruns, line } = await interview.measured();
  const found = { transport: `${NAMES[kind]}, ${CARRIES[kind]}` };
  if (why) found["not WebRTC"] = why;
  found.face = PICTURES[picture.how] ?? "drawn in this browser";
  if (roundTripMs !== null) found["round trip"] = `${roundTripMs} ms`;
  Object.assign(found, line);
  if (kind === "websocket") {
    found["waiting to be played"] = `${queuedMs} ms`;
    found.underruns = `${underruns}`;
  }
  if (interview.session !== null) found.session = interview.session;
  return found;
}
