// The microphone's row on the page: which one, how loud, and what is wrong with it.

import { Microphone, choosable, devices } from "./client/index.js";

const OUTPUT = "The device's own";
const MUTED = "You are muted. Nobody hears you.";
const BARS = 48; // of the wave
const BAR_MS = 50;
const AUDIBLE = 0.01; // of full scale; a quiet room has a tenth of that
const PATIENCE_MS = 3000;

const SPEAK = "Say something…";
const HEARD = "You are heard.";
const NOTHING =
  "Nothing is heard yet. Is it the right microphone, is it switched on, and not muted?";

export class Picker {
  /** `changed(microphone)` tells of another one, null for none; `heard(sound, context)`
   * of its sound, `output(id)` of another loudspeaker, "" for the system's. */
  constructor(at, device, { changed, heard, output }) {
    this.at = at;
    this.device = device;
    this.changed = changed;
    this.heard = heard;
    this.microphone = null;
    this.opening = 0; // counts: of two that are being opened only the later one is wanted
    this.muted = false;
    this.tried = false; // whether somebody wanted a microphone
    this.live = false; // whether it is for an interview that is under way
    this.trial = new Trial(at("mic-trial"));
    this.wave = new Wave(at("wave"));
    at("mic-try").addEventListener("click", () => (this.trial.on ? this.release() : this.#try()));
    at("mic-choice").addEventListener("change", () => {
      if (this.trial.on) this.#try();
      else if (this.tried) this.open();
    });
    at("output-choice").addEventListener("change", () => output(at("output-choice").value));
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#list());
    navigator.permissions
      ?.query({ name: "microphone" })
      .then(({ state }) => {
        if (state === "denied") this.#say("This page may not use the microphone; you can type.");
      })
      .catch(() => {}); // Firefox does not know this permission
    this.#list();
  }

  get track() {
    return this.microphone?.track ?? null;
  }

  /** Open it to see whether it hears, until it is released or opened for an interview. */
  async #try() {
    await this.open();
    if (this.microphone === null || this.live) return;
    this.trial.begin();
    this.at("mic-try").textContent = "Stop";
    this.at("mic-try").hidden = false;
  }

  /** Open the chosen microphone, or say in plain words why there is none. */
  async open() {
    this.tried = true;
    this.trial.end();
    this.#drop();
    const mine = this.opening;
    try {
      const opened = await Microphone.open(this.at("mic-choice").value, (sound, context) => {
        if (mine !== this.opening) return;
        this.#level(sound.level);
        this.trial.heard(sound.level);
        this.heard(sound, context);
      });
      if (mine !== this.opening) return opened.close();
      this.microphone = opened;
      opened.onlost(() => {
        if (this.microphone === opened) this.#lost("The microphone is gone. Choose another one, or type.");
      });
      this.#say(this.muted ? MUTED : "");
      this.at("mic-try").hidden = true;
      this.at("mute").disabled = false;
      this.device.watch(opened.context);
      this.device.microphone(opened.track);
      this.changed(opened);
      await this.#list(opened.deviceId);
    } catch (error) {
      if (mine !== this.opening) return;
      this.#lost(error.message);
      await this.#list();
    }
  }

  /** Whoever is heard by it has muted it, or not any more. */
  mute(muted) {
    this.muted = muted;
    if (this.microphone !== null) this.#say(muted ? MUTED : "");
  }

  /** The interview is over: let it go. */
  release() {
    this.trial.end();
    this.#drop();
    this.tried = false;
    if (this.muted) this.#say("");
    this.muted = false;
    this.at("mic-try").hidden = false;
    this.at("mic-try").textContent = "Try it";
  }

  #lost(words) {
    this.trial.end();
    this.#drop();
    this.#say(words);
    this.at("mic-try").hidden = false;
    this.at("mic-try").textContent = "Try again";
    this.at("mute").disabled = true;
    this.changed(null);
  }

  #drop() {
    this.opening += 1;
    this.microphone?.close();
    this.microphone = null;
    this.device.microphone(null);
    this.#level(0);
    this.wave.clear();
  }

  async #list(chosen = this.at("mic-choice").value) {
    const { inputs, outputs } = await devices();
    offer(this.at("mic-choice"), "Default microphone", inputs, chosen);
    offer(this.at("output-choice"), OUTPUT, outputs, this.at("output-choice").value);
    this.at("output").hidden = !choosable() || outputs.length < 2;
  }

  #level(loudness) {
    // -60 dB is quiet, 0 dB as loud as it gets
    const shown = Math.max(0, Math.min(1, 1 + Math.log10(Math.max(loudness, 1e-3)) / 3));
    this.at("mic-bar").style.transform = `scaleX(${shown.toFixed(3)})`;
    this.at("mic-level").value = shown;
    this.wave.heard(shown);
    // Of the ring alone: what the whole portrait inherits has the face styled and drawn anew.
    this.at("ring").style.setProperty("--loud", shown.toFixed(2));
  }

  #say(words) {
    this.device.notice.say("microphone", words);
  }
}

function offer(choice, first, found, chosen) {
  choice.replaceChildren(
    new Option(first, ""),
    ...found.filter(({ id }) => id !== "default").map(({ id, label }) => new Option(label, id)),
  );
  choice.value = [...choice.options].some(({ value }) => value === chosen) ? chosen : "";
}

/** A microphone that is tried before an interview: whether it hears anything, in words. */
class Trial {
  /** The words go to `element`. */
  constructor(element) {
    this.element = element;
    this.on = false;
  }

  begin() {
    this.end();
    this.on = true;
    this.#say(SPEAK);
    this.waiting = setTimeout(() => this.#say(NOTHING), PATIENCE_MS);
  }

  /** 20 ms of the microphone, as loud as this. */
  heard(level) {
    if (!this.on || level < AUDIBLE) return;
    clearTimeout(this.waiting);
    this.#say(HEARD);
  }

  end() {
    this.on = false;
    clearTimeout(this.waiting);
    this.#say("");
  }

  #say(words) {
    if (this.element.textContent !== words) this.element.textContent = words;
  }
}

/** The microphone's sound of the last seconds, drawn as it comes: that one is heard is seen at once. */
class Wave {
  constructor(canvas) {
    this.canvas = canvas;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.bars = new Array(BARS).fill(0);
    this.loudest = 0;
    this.at = 0;
  }

  /** How loud it is now, 0 to 1. */
  heard(shown) {
    this.loudest = Math.max(this.loudest, shown);
    const now = performance.now();
    if (now - this.at < BAR_MS) return;
    this.at = now;
    this.bars.push(this.loudest);
    this.bars.shift();
    this.loudest = 0;
    if (this.canvas.checkVisibility()) this.#draw();
  }

  clear() {
    this.bars.fill(0);
    this.#draw();
  }

  #draw() {
    const { canvas } = this;
    const scale = devicePixelRatio || 1;
    const [wide, high] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    if (wide === 0) return;
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    const brush = canvas.getContext("2d");
    brush.clearRect(0, 0, wide, high);
    brush.fillStyle = getComputedStyle(canvas).color;
    const step = wide / BARS;
    // Who wants less motion sees how loud it is, and nothing that moves along.
    const bars = this.still.matches ? this.bars.map(() => this.bars.at(-1)) : this.bars;
    bars.forEach((shown, i) => {
      const tall = Math.max(2 * scale, shown * high);
      brush.beginPath();
      brush.roundRect(i * step + step * 0.2, (high - tall) / 2, step * 0.6, tall, step * 0.3);
      brush.fill();
    });
  }
}
