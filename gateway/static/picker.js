// The microphone's row on the page: which one, how loud, and what is wrong with it.

import { Microphone, Trial, devices } from "./client/microphone.js";
import { choosable } from "./client/speaker.js";
import { Wave } from "./wave.js";

const OUTPUT = "The device's own";
const MUTED = "You are muted. Nobody hears you.";

export class Picker {
  /** `changed(track)` tells of another microphone, null for none; `heard(sound, context)`
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
      opened.mute(this.muted);
      opened.onlost(() => {
        if (this.microphone === opened) this.#lost("The microphone is gone. Choose another one, or type.");
      });
      this.#say(this.muted ? MUTED : "");
      this.at("mic-try").hidden = true;
      this.at("mute").disabled = false;
      this.device.watch(opened.context);
      this.device.microphone(opened.track);
      this.changed(opened.track);
      await this.#list(opened.deviceId);
    } catch (error) {
      if (mine !== this.opening) return;
      this.#lost(error.message);
      await this.#list();
    }
  }

  mute(muted) {
    this.muted = muted;
    this.microphone?.mute(muted);
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
    this.at("portrait").style.setProperty("--loud", shown.toFixed(3));
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
