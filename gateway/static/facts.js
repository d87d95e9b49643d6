// What the page knows of its own line, sound and picture, by name, in words for people.

export const NAMES = { webrtc: "WebRTC", websocket: "WebSocket" };

const CARRIES = { webrtc: "Opus both ways", websocket: "PCM16, 16 kHz up, 24 kHz down" };
const PICTURES = { video: "video from the server", frames: "pictures from the server" };

export async function facts(call, { speaker, picture }) {
  const { transport } = call;
  const found = { transport: `${NAMES[transport.kind]}, ${CARRIES[transport.kind]}` };
  if (transport.why) found["not WebRTC"] = transport.why;
  found.face = PICTURES[picture.how] ?? "drawn in this browser";
  if (call.roundTripMs !== null) found["round trip"] = `${call.roundTripMs} ms`;
  Object.assign(found, await transport.measured());
  if (speaker !== null && transport.kind === "websocket") {
    found["waiting to be played"] = `${speaker.queuedMs} ms`;
    found.underruns = `${speaker.underruns}`;
  }
  if (call.session !== null) found.session = call.session;
  return found;
}
