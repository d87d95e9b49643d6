// Whether the other side of a connection is still there: it is asked twice a second, and everything
// that it sends counts as an answer. A server that was killed, or a network that has gone, sends no
// word about it, and browsers notice within ten seconds or more.

const EVERY_MS = 500;
const SILENT_MS = 1500; // with the next look it is told within two seconds
const SLEPT_MS = 1200; // between two looks: this page was asleep, and nobody was asked meanwhile

export class Pulse {
  /** `ask()` is called to be answered; `changed(silent)` when the other side falls silent or speaks. */
  constructor(ask, changed) {
    this.ask = ask;
    this.changed = changed;
    this.silent = false;
    this.heardAt = this.lookedAt = performance.now();
    this.timer = setInterval(() => this.#look(), EVERY_MS);
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
    if (!this.silent && now - this.heardAt >= SILENT_MS) {
      this.silent = true;
      this.changed(true);
    }
    this.ask();
  }

  stop() {
    clearInterval(this.timer);
  }
}
