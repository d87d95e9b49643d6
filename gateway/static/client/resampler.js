// From one sample rate to a lower one, piece by piece: a windowed-sinc low-pass, evaluated where the
// output samples lie. 24 zero crossings with a Hann window keep aliases 40 dB down.

const CROSSINGS = 12;

export class Resampler {
  constructor(fromHz, toHz) {
    this.step = fromHz / toHz;
    this.cutoff = Math.min(1, toHz / fromHz) * 0.92;
    this.half = Math.ceil(CROSSINGS / this.cutoff);
    this.held = new Float32Array(2 * this.half);
    this.position = this.half; // of the next output sample, in `held`
  }

  /** Samples at the new rate for those of `input`; they come `half` input samples late. */
  push(input) {
    const all = new Float32Array(this.held.length + input.length);
    all.set(this.held);
    all.set(input, this.held.length);
    const output = [];
    while (this.position + this.half < all.length) {
      output.push(this.#at(all, this.position));
      this.position += this.step;
    }
    const used = Math.min(all.length, Math.max(0, Math.floor(this.position) - this.half));
    this.held = all.slice(used);
    this.position -= used;
    return output;
  }

  #at(samples, position) {
    const middle = Math.floor(position);
    let sum = 0;
    for (let i = Math.max(0, middle - this.half + 1); i <= middle + this.half; i += 1) {
      const x = i - position;
      const angle = Math.PI * x * this.cutoff;
      const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
      const hann = 0.5 + 0.5 * Math.cos((Math.PI * x) / (this.half + 1));
      sum += (samples[i] ?? 0) * sinc * hann;
    }
    return sum * this.cutoff;
  }
}
