// A session over WebRTC: Opus both ways, the messages on a data channel, and the server's picture of
// the face where it is wanted. The offer goes to `/webrtc/<session>` in the shape of WHIP.

const ANSWER_MS = 5000; // what the server may take for its answer
const CONNECT_MS = 3500; // and ICE after it; where UDP is let through it takes a tenth of that
const LOST_MS = 3000; // without a packet for five seconds, and so long after that: the line is dead
const TRICKLE_MS = 30; // candidates that come together go together

const FINISHED = 1000; // the close codes of the WebSocket, which a data channel has not
const BROKEN = 1006;
const POLICY = 1008;
const INTERNAL = 1011;
const GONE = 4404;

export const BLOCKED = "UDP does not get through";

const REFUSALS = {
  webrtc_not_installed: "this server has no WebRTC",
  no_place: "", // the server is full, whichever way
  token_required: "this server keeps WebRTC for others",
};

export function hasWebRtc() {
  return typeof RTCPeerConnection === "function";
}

export class WebRtcTransport {
  kind = "webrtc";
  why = "";

  /** `microphone` is a track or null; `video` asks for the server's picture. */
  constructor(gateway, sessionId, { microphone = null, video = false } = {}) {
    this.gateway = gateway;
    this.path = `/webrtc/${sessionId}`;
    this.track = microphone;
    this.video = video;
    this.pc = null;
    this.channel = null;
    this.location = null; // of the connection on the server
    this.placed = false; // whether there has been one
    this.finished = false; // there is nothing left to say: when the server closes, that is the end
    this.tracks = []; // the server's, with their receivers
    this.over = false;
    this.gone = Promise.resolve(); // until the server has been told that nobody is here
    this.waiting = []; // candidates
  }

  open(handlers) {
    this.handlers = handlers;
    this.#connect().catch((error) => this.#close(BROKEN, told(error)));
  }

  async #connect() {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.pc = pc;
    const audio = pc.addTransceiver(this.track ?? "audio", { direction: "sendrecv" });
    this.sender = audio.sender;
    if (this.video) pc.addTransceiver("video", { direction: "recvonly" });
    pc.ontrack = ({ track, receiver }) => this.tracks.push([track, receiver]);
    pc.onconnectionstatechange = () => this.#changed();
    pc.onicecandidate = ({ candidate }) => this.#found(candidate);
    this.channel = pc.createDataChannel("parley");
    this.channel.onopen = () => this.#opened();
    this.channel.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.channel.onclose = () => this.#closed(this.finished ? FINISHED : BROKEN);

    const offer = await pc.createOffer();
    const answer = await this.gateway.fetch(this.path, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: offer.sdp,
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (!answer.ok) {
      const { code } = await answer.json().catch(() => ({}));
      throw new Refused(code);
    }
    this.location = this.gateway.placed(answer.headers.get("location"), this.path);
    this.placed = true;
    const sdp = await answer.text();
    if (this.over) return this.#leave();
    this.deadline = setTimeout(() => this.#close(BROKEN, BLOCKED), CONNECT_MS);
    const servers = iceServers(answer.headers.get("link"));
    if (servers.length > 0) pc.setConfiguration({ bundlePolicy: "max-bundle", iceServers: servers });
    await pc.setLocalDescription(offer);
    await pc.setRemoteDescription({ type: "answer", sdp });
    addEventListener("pagehide", this.#hidden);
  }

  #hidden = () => this.#leave();

  #opened() {
    clearTimeout(this.deadline);
    if (this.over) return;
    this.handlers.opened();
    for (const [track, receiver] of this.tracks) this.handlers.track(track, receiver);
  }

  #take(message) {
    if (message.type === "interview" && message.isComplete) this.finished = true;
    if (message.type === "error" && message.fatal) {
      const code = { deleted: GONE, internal: INTERNAL }[message.code] ?? POLICY;
      this.handlers.message(message);
      return this.#closed(code, message.message);
    }
    this.handlers.message(message);
  }

  #changed() {
    clearTimeout(this.losing);
    const state = this.pc.connectionState;
    if (state === "failed") this.#close(BROKEN, BLOCKED);
    if (state === "disconnected") this.losing = setTimeout(() => this.#close(BROKEN), LOST_MS);
  }

  /** The server found us by our packets; where it can be the first, our candidates tell it how. */
  #found(candidate) {
    if (!candidate?.candidate || this.location === null) return;
    if (this.waiting.length === 0) setTimeout(() => this.#trickle(), TRICKLE_MS);
    this.waiting.push(candidate);
  }

  #trickle() {
    const found = this.waiting.splice(0);
    if (this.over) return;
    const { usernameFragment, sdpMid } = found[0];
    const lines = [
      `a=ice-ufrag:${usernameFragment}`,
      "m=audio 9 UDP/TLS/RTP/SAVPF 0",
      `a=mid:${sdpMid}`,
      ...found.map(({ candidate }) => `a=${candidate}`),
      "",
    ];
    this.gateway.fetch(this.location, {
      method: "PATCH",
      headers: { "content-type": "application/trickle-ice-sdpfrag" },
      body: lines.join("\r\n"),
    }).catch(() => {}); // without them it mostly works as well
  }

  send(object) {
    if (this.channel?.readyState !== "open") return;
    if (object.type === "bye") this.finished = true;
    this.channel.send(JSON.stringify(object));
  }

  sendAudio() {} // the track goes by itself

  microphone(track) {
    this.track = track;
    this.sender?.replaceTrack(track).catch((error) => console.warn(error));
  }

  /** How the line is, by the browser's own counting, in words for people. */
  async measured() {
    let audio = null;
    for (const report of ((await this.pc?.getStats()) ?? new Map()).values()) {
      if (report.type === "inbound-rtp" && report.kind === "audio") audio = report;
    }
    if (!audio?.jitterBufferEmittedCount) return {};
    const { jitterBufferDelay: waited, jitterBufferEmittedCount: played } = audio;
    const before = this.before ?? { waited: 0, played: 0 };
    if (played - before.played > 48000) this.before = { waited, played }; // of the last second
    const ms = ((waited - before.waited) / Math.max(1, played - before.played)) * 1000;
    return { "jitter buffer": `${Math.round(ms)} ms`, "packets lost": `${audio.packetsLost}` };
  }

  close() {
    this.#close(FINISHED);
  }

  /** From this side. */
  #close(code, reason = "") {
    if (!this.over) this.gone = this.#leave();
    this.#closed(code, reason);
  }

  /** From the other side, or from both. */
  #closed(code, reason = "") {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.deadline);
    clearTimeout(this.losing);
    this.pc?.close();
    removeEventListener("pagehide", this.#hidden);
    this.handlers.closed(code, reason);
  }

  async #leave() {
    if (this.location === null) return;
    const there = this.location;
    this.location = null;
    const signal = AbortSignal.timeout(ANSWER_MS);
    await this.gateway.fetch(there, { method: "DELETE", keepalive: true, signal }).catch(() => {});
  }
}

class Refused extends Error {
  constructor(code) {
    super(code ?? "refused");
  }
}

function told(error) {
  if (error instanceof Refused) return REFUSALS[error.message] ?? "the server refused WebRTC";
  return error.name === "TimeoutError" ? "the server took too long to answer" : "WebRTC failed";
}

const VALUE = /\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))/.source; // RFC 8288: quoted or not
const PARAMETER = new RegExp(`;\\s*([\\w-]+)${VALUE}`, "g");
const LINK = new RegExp(`<([^>]*)>((?:\\s*;\\s*[\\w-]+${VALUE})*)`, "g");

/** The servers of `Link` headers (RFC 9725, section 4.6), as `RTCPeerConnection` wants them. */
export function iceServers(header) {
  const found = [];
  for (const [, url, rest] of (header ?? "").matchAll(LINK)) {
    const values = {};
    for (const [, name, quoted, token] of rest.matchAll(PARAMETER)) {
      values[name.toLowerCase()] = token ?? quoted.replace(/\\(.)/g, "$1");
    }
    if (values.rel?.toLowerCase() !== "ice-server") continue;
    const { username, credential } = values;
    found.push(username === undefined ? { urls: url } : { urls: url, username, credential });
  }
  return found;
}
