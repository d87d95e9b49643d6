// The microphone's sound of the last seconds, drawn as it comes: that one is heard is seen at once.

const BARS = 48;
const BAR_MS = 50;

export class Wave {
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
