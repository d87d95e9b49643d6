// The microphone's end of the audio thread: 20 ms messages of PCM16 at the wire's rate.

import { Resampler } from "./resampler.js";

const MESSAGE_MS = 20;

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    const rate = processorOptions.rate;
    this.resampler = rate === sampleRate ? null : new Resampler(sampleRate, rate);
    this.size = (rate * MESSAGE_MS) / 1000;
    this.pcm = new Int16Array(this.size);
    this.filled = 0;
    this.power = 0;
    this.muted = false;
    this.port.onmessage = ({ data }) => {
      this.muted = data.muted;
    };
  }

  process([[channel]]) {
    if (channel !== undefined) {
      const samples = this.resampler === null ? channel : this.resampler.push(channel);
      for (const sample of samples) this.#take(sample);
    }
    return true;
  }

  #take(sample) {
    const value = this.muted ? 0 : Math.max(-1, Math.min(1, sample));
    this.power += value * value;
    this.pcm[this.filled] = Math.round(value * 32767);
    this.filled += 1;
    if (this.filled < this.size) return;
    const level = Math.sqrt(this.power / this.size);
    const message = { pcm: this.pcm.buffer, level, at: currentTime, now: Date.now() };
    this.port.postMessage(message, [this.pcm.buffer]);
    this.pcm = new Int16Array(this.size);
    this.filled = 0;
    this.power = 0;
  }
}

registerProcessor("capture", Capture);
