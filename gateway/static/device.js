// The life of the devices in an interview: the sound of this page, the microphone's track, the screen.
// A phone call, another program or the system takes them away, and gives them back or not. It takes
// back what it can, and says in one notice what only the person can do.

const RESUMED_MS = 1000; // what a browser may take to resume a sound
const GESTURES = ["pointerdown", "keydown"];

const PAUSED = "The sound is paused. Click or press any key, and the interview goes on.";
const SILENCED =
  "Nothing is heard from your microphone: this device, or another program, has muted it. You can type meanwhile.";

/** One element for what is wrong, by subject; the first one that there is comes first. */
export class Notice {
  constructor(element) {
    this.element = element;
    this.words = new Map();
  }

  /** Say it of a subject until something else is said of it; "" is nothing. */
  say(subject, words) {
    if (words === (this.words.get(subject) ?? "")) return; // nobody wants to hear it twice
    if (words) this.words.set(subject, words);
    else this.words.delete(subject);
    this.element.textContent = [...this.words.values()].join(" ");
    this.element.hidden = this.words.size === 0;
  }
}

export class Device {
  constructor(notice) {
    this.notice = notice;
    this.contexts = new Set();
    this.track = null;
    this.lock = null; // of the screen
    this.live = false;
    document.addEventListener("visibilitychange", () => this.#shown());
    for (const gesture of GESTURES) document.addEventListener(gesture, () => this.resume(), true);
  }

  /** Keep a sound running until it is closed. */
  watch(context) {
    if (this.contexts.has(context)) return;
    this.contexts.add(context);
    context.addEventListener("statechange", () => this.#changed(context));
    this.#changed(context);
  }

  #changed(context) {
    if (context.state === "closed") this.contexts.delete(context);
    else if (context.state !== "running") this.resume();
    if (this.#paused().length === 0) this.notice.say("sound", "");
  }

  #paused() {
    return [...this.contexts].filter(({ state }) => state !== "running" && state !== "closed");
  }

  /** Resume what is paused; in a click the browser allows it, at other times it may not. */
  resume() {
    const paused = this.#paused(); // suspended, or "interrupted" in Safari
    if (paused.length === 0) return;
    for (const context of paused) context.resume().catch(() => {}); // it may wait for a click
    clearTimeout(this.checking);
    this.checking = setTimeout(() => {
      this.notice.say("sound", this.#paused().length > 0 ? PAUSED : "");
    }, RESUMED_MS);
  }

  /** From now on the microphone is this track; null for none. */
  microphone(track) {
    this.track = track;
    const told = () => {
      if (this.track === track) this.notice.say("track", track?.muted ? SILENCED : "");
    };
    track?.addEventListener("mute", told);
    track?.addEventListener("unmute", told);
    told();
  }

  /** The interview begins or is over: while it lasts, the screen stays on. */
  async awake(live) {
    this.live = live;
    if (live) return this.#keepScreen();
    const lock = this.lock;
    this.lock = null;
    await lock?.release().catch(() => {});
  }

  #shown() {
    if (document.hidden) return;
    this.resume();
    if (this.live) this.#keepScreen(); // the browser lets go of it when the page is hidden
  }

  async #keepScreen() {
    if (this.lock !== null && !this.lock.released) return;
    try {
      const lock = await navigator.wakeLock.request("screen");
      if (!this.live || (this.lock !== null && !this.lock.released)) return await lock.release();
      this.lock = lock;
    } catch {} // no such thing here, or the battery is low
  }
}
