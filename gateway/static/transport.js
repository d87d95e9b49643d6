// How a session's messages travel. Everything else on the page knows a transport by this alone:
//
//   open(handlers)   handlers: opened(), message(object), audio(ArrayBuffer), closed(code, reason)
//   send(object)     a message of the native dialect
//   sendAudio(buffer) 20 ms of the microphone
//   close()
//
// Each transport is used for one connection. `closed` comes once, also where it was never opened.

const MOST_UNSENT_BYTES = 64000; // two seconds: a line that slow is better given fresh audio

export class WebSocketTransport {
  constructor(sessionId) {
    const url = new URL(`/ws/${sessionId}`, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.url = url;
    this.dropped = 0; // messages of the microphone that a slow line had no room for
  }

  open({ opened, message, audio, closed }) {
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = opened;
    this.socket.onmessage = ({ data }) => {
      if (typeof data === "string") message(JSON.parse(data));
      else audio(data);
    };
    this.socket.onclose = ({ code, reason }) => closed(code, reason);
  }

  get ready() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  send(object) {
    if (this.ready) this.socket.send(JSON.stringify(object));
  }

  sendAudio(buffer) {
    if (!this.ready) return;
    if (this.socket.bufferedAmount > MOST_UNSENT_BYTES) this.dropped += 1;
    else this.socket.send(buffer);
  }

  close() {
    this.socket?.close(1000);
  }
}
