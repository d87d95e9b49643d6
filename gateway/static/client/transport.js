// How a session's messages travel. Everything else knows a transport by this alone:
//
//   open(handlers)   opened(), message(object), audio(ArrayBuffer), closed(code, reason), and, where
//                    sound and picture come by themselves, track(MediaStreamTrack, RTCRtpReceiver)
//   send(object)     a message of the native dialect
//   sendAudio(buffer) 20 ms of the microphone
//   microphone(track) the microphone itself, null for none, for those that send it by themselves
//   close(code)      1000, the default, is the end of the session
//   measured()       how the line is, by name, in words for people; a promise
//   kind             "websocket" or "webrtc"; null while it is not decided
//   why              why it is not the other one, for people; mostly empty
//
// Each transport is used for one connection. `closed` comes once, also where it was never opened.

import { WebRtcTransport, hasWebRtc } from "./webrtc.js";

const TRIES = 3;
const HANDSHAKE_MS = 10000; // browsers wait for minutes
const AGAIN_MS = 400;
const EVERY_MS = 500;
// To be told within two seconds, but not where one packet is lost: SCTP sends it again after a
// second, so that its answer comes 1.5 s and a round trip after the last one.
const SILENT_MS = 1700;
const SLEPT_MS = 1200; // between two looks: this page was asleep, and nobody was asked meanwhile
const MOST_UNSENT_BYTES = 64000; // two seconds: a line that slow is better given fresh audio

export class WebSocketTransport {
  kind = "websocket";
  why = "";

  constructor(gateway, sessionId) {
    this.gateway = gateway;
    this.url = gateway.socket(`/ws/${sessionId}`);
    this.dropped = 0; // messages of the microphone that a slow line had no room for
  }

  open({ opened, message, audio, closed }) {
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = "arraybuffer";
    const deadline = setTimeout(() => this.socket.close(), HANDSHAKE_MS);
    this.socket.onopen = () => {
      clearTimeout(deadline);
      opened();
    };
    this.socket.onmessage = ({ data }) => {
      if (typeof data === "string") message(JSON.parse(data));
      else audio(data);
    };
    this.socket.onclose = ({ code, reason }) => {
      clearTimeout(deadline);
      closed(code, reason);
    };
  }

  get ready() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  send(object) {
    if (this.ready) this.socket.send(JSON.stringify(this.gateway.signed(object)));
  }

  sendAudio(buffer) {
    if (!this.ready) return;
    if (this.socket.bufferedAmount > MOST_UNSENT_BYTES) this.dropped += 1;
    else this.socket.send(buffer);
  }

  microphone() {} // its audio comes in pieces, by sendAudio

  async measured() {
    const { bufferedAmount: bytes = 0 } = this.socket ?? {};
    return { "waiting to be sent": `${bytes} bytes`, "microphone dropped": `${this.dropped * 20} ms` };
  }

  close(code = 1000) {
    this.socket?.close(code);
  }
}

/** WebRTC, and WebSocket where that does not come up. */
export class EitherTransport {
  constructor(gateway, sessionId, options) {
    this.gateway = gateway;
    this.sessionId = sessionId;
    this.options = options;
    this.chosen = null;
    this.over = false;
    this.why = "";
  }

  get kind() {
    return this.chosen?.kind ?? null;
  }

  open(handlers) {
    if (!hasWebRtc()) return this.#settle(handlers, "this browser has no WebRTC");
    const attempt = new WebRtcTransport(this.gateway, this.sessionId, this.options);
    this.attempt = attempt;
    attempt.open({
      ...handlers,
      opened: () => {
        this.chosen = attempt;
        handlers.opened();
      },
      closed: async (code, reason) => {
        if (this.chosen === attempt) return handlers.closed(code, reason);
        await attempt.gone; // the server lets one connection hold the session
        if (!this.over) this.#settle(handlers, reason);
      },
    });
  }

  #settle(handlers, why, tries = TRIES) {
    this.why = why;
    const line = new WebSocketTransport(this.gateway, this.sessionId);
    this.chosen = line;
    let stood = false;
    line.open({
      ...handlers,
      opened: () => {
        stood = true;
        handlers.opened();
      },
      closed: (code, reason) => {
        // The attempt may still hold a place, and that may have been the last one.
        if (stood || this.over || tries === 0 || !this.attempt?.placed) handlers.closed(code, reason);
        else setTimeout(() => this.over || this.#settle(handlers, why, tries - 1), AGAIN_MS);
      },
    });
  }

  send(object) {
    this.chosen?.send(object);
  }

  sendAudio(buffer) {
    this.chosen?.sendAudio(buffer);
  }

  async measured() {
    return this.chosen?.measured() ?? {};
  }

  microphone(track) {
    (this.chosen ?? this.attempt)?.microphone(track);
  }

  close(code) {
    this.over = true;
    (this.chosen ?? this.attempt)?.close(code);
  }
}

const WAYS = { webrtc: WebRtcTransport, websocket: WebSocketTransport };

/** A transport of this way, "auto" for either; `why` says that WebRTC did not come up before. */
export function transportFor(way, why, gateway, sessionId, options) {
  const Transport = WAYS[way] ?? (why ? WebSocketTransport : EitherTransport);
  return Object.assign(new Transport(gateway, sessionId, options), why ? { why } : {});
}

/** Whether the other side of a connection is still there: it is asked twice a second, and everything
 * that it sends counts as an answer. A server that was killed, or a network that has gone, sends no
 * word about it, and browsers notice within ten seconds or more.
 *
 * `ask()` is called to be answered; `changed(silent)` when the other side falls silent or speaks. */
export class Pulse {
  constructor(ask, changed) {
    this.ask = ask;
    this.changed = changed;
    this.silent = false;
    this.heardAt = this.lookedAt = performance.now();
    this.timer = setInterval(() => this.#look(), EVERY_MS);
    this.due = null; // the timer for the moment of silence, where it is before the next look
    ask();
  }

  /** Something came. */
  heard() {
    this.heardAt = performance.now();
    if (!this.silent) return;
    this.silent = false;
    this.changed(false);
  }

  #look() {
    const now = performance.now();
    if (now - this.lookedAt > SLEPT_MS) this.heardAt = now;
    this.lookedAt = now;
    this.#wait(now);
    this.ask();
  }

  /** Judge when the silence has lasted; where that is after the next look, the next look sees to it. */
  #wait(now) {
    if (this.due !== null) return; // begun again at each look, it would never end in a hidden tab
    const left = Math.max(0, this.heardAt + SILENT_MS - now);
    // What came while the page was busy is read before a timer that is made only then.
    const judge = () => { this.due = setTimeout(() => this.#judge()); };
    if (!this.silent && left < EVERY_MS) this.due = setTimeout(judge, left);
  }

  #judge() {
    this.due = null;
    const now = performance.now();
    if (now - this.lookedAt > SLEPT_MS) return; // the next look finds that it was asleep
    if (now - this.heardAt < SILENT_MS) return this.#wait(now);
    this.silent = true;
    this.changed(true);
  }

  stop() {
    clearInterval(this.timer);
    clearTimeout(this.due);
  }
}
