// What functions of this page's returned. A result may be lost with the line, so it is sent again when the
// line is back, as long as its reply waits for it: the gateway ignores one that it has.

const MOST_CALLS = 32;

export class Results {
  constructor() {
    this.calls = new Map(); // by their ids: {turn, message}, without a message while nothing is returned
  }

  /** A message of the gateway: which calls there are, and whose reply is over. */
  take(message) {
    if (message.type === "tool.call") this.#called(message);
    if (message.type === "reply.done") this.#forget((turn) => turn === message.turn);
    if (message.type === "reply.started") this.#forget((turn) => turn < message.turn);
    if (message.type === "ready" && !message.resumed?.kept) this.calls.clear();
  }

  #called({ call_id: callId, turn }) {
    if (this.calls.has(callId)) return;
    this.calls.set(callId, { turn });
    if (this.calls.size > MOST_CALLS) this.calls.delete(this.calls.keys().next().value);
  }

  #forget(over) {
    for (const [callId, { turn }] of [...this.calls]) if (over(turn)) this.calls.delete(callId);
  }

  /** The message with a result. */
  add(callId, result) {
    const message = { type: "tool.result", call_id: callId, result };
    const call = this.calls.get(callId);
    if (call !== undefined) call.message = message;
    return message;
  }

  /** What may have been lost with the line. */
  get unsure() {
    return [...this.calls.values()].flatMap(({ message }) => message ?? []);
  }
}
