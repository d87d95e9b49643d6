// The interviewer's face: a layered SVG whose mouth follows what is being heard.
//
// A face is a folder with `face.json` and `face.svg` (docs/faces.md). The file shows all of its layers
// at once; here one of each kind is shown, or, of two mouths, the way from one to the other.

import { mouths } from "./mouths.js";
import { HEAD_STEPS, blink, idle } from "./client/timeline.js";

const LID_MS = 40; // until the lids are down
const LEAST_MS = 24; // between two pictures of a mouth that speaks: 30 a second where the screen has 60
const REST_MS = 40; // between two pictures while nobody speaks: the server's rest at 12 a second

/** Calls `step(now)` with each picture of the screen that comes `least` milliseconds after the one before
 * while it `moves()`, and now and then else. */
export class Drawing {
  constructor(step, moves, least = 0) {
    this.step = step;
    this.moves = moves;
    this.least = least;
    this.last = -Infinity;
    this.soon();
  }

  /** With the next picture, whatever was waited for. */
  soon() {
    this.close();
    this.frame = requestAnimationFrame((now) => {
      if (now - this.last < this.least) return this.soon();
      this.last = now;
      this.step(now);
      if (this.moves()) this.soon();
      else this.waiting = setTimeout(() => this.soon(), REST_MS);
    });
  }

  close() {
    clearTimeout(this.waiting);
    cancelAnimationFrame(this.frame);
  }
}

/** The faces that the server has, as `{id, name, description}`; the page brings them along, and the
 * first one drawn, with its `manifest`. */
export function faces() {
  const brought = document.querySelector("#known-faces")?.textContent;
  return brought ? JSON.parse(brought) : { faces: [], manifest: null };
}

export class Face {
  /** A face's manifest and picture. */
  static async read(id) {
    const folder = new URL(`../faces/${encodeURIComponent(id)}`, import.meta.url);
    const [manifest, text] = await Promise.all([
      fetch(`${folder}/face.json`).then((answer) => answer.json()),
      fetch(`${folder}/face.svg`).then((answer) => answer.text()),
    ]);
    if (manifest.format !== "parley-face/1") throw new Error(`${id} is no face of this format`);
    return [manifest, text];
  }

  /** Draw it in `host`, in place of one that is there; without `text` it is what the page brought
   * along. `mouth(now)` is the way from one shape to another that is shown. */
  constructor(host, manifest, text, mouth) {
    this.mouth = mouth;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.state = "idle";
    this.before = "idle"; // the state before this one
    this.since = -Infinity; // when it became this one
    this.shape = "sil";
    this.moves = 0; // how often the mouth has changed its shape
    host.setAttribute("aria-label", `Parley, drawn: ${manifest.description}`);
    const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    const svg = text === null ? root.querySelector("svg") : parsed(root, text);
    svg.setAttribute("aria-hidden", "true");
    this.#arrange(svg, manifest);
    this.mouths.show("sil", "sil", 1);
    this.#look("open", "idle");
    this.down = null; // where the head is
    this.drawing = new Drawing(
      (now) => this.#step(now),
      () => this.state === "speaking" || this.shape !== "sil",
      LEAST_MS,
    );
  }

  /** One layer of each kind is shown, and those that move with the head do. */
  #arrange(svg, { viewBox, layers }) {
    const layer = (id) => svg.querySelector(`#${CSS.escape(id)}`);
    const named = (ids) =>
      Object.fromEntries(Object.entries(ids).flatMap(([name, id]) => (id ? [[name, layer(id)]] : [])));
    this.step = viewBox[3] / HEAD_STEPS;
    this.layers = { eyes: named(layers.eyes), brows: named(layers.brows) };
    for (const hidden of svg.querySelectorAll(":scope > g[display]")) hidden.removeAttribute("display");
    const shapes = named(layers.mouth);
    this.mouths = mouths(shapes, svg);
    Object.values(shapes)[0].before(this.mouths.element);
    // A layer of its own: the face around it is not drawn again.
    this.mouths.element.style.willChange = "transform";
    for (const shape of Object.values(shapes)) shape.remove();
    this.head = document.createElementNS(svg.namespaceURI, "g");
    const base = layer(layers.base);
    for (const child of [...svg.children]) {
      if (child !== base && child.tagName === "g") this.head.append(child);
    }
    svg.append(this.head);
  }

  /** `avatar.state` of the server. */
  setState(state) {
    if (state === this.state) return;
    this.before = this.state;
    this.state = state;
    this.since = performance.now();
    this.drawing.soon();
  }

  close() {
    this.drawing.close();
  }

  #step(now) {
    this.#speak(...this.mouth(now));
    this.#move(now);
  }

  #speak(from, to, weight) {
    const shape = weight < 1 && to === "sil" ? from : to;
    if (shape !== this.shape) this.moves += 1;
    this.shape = shape;
    this.mouths.show(from, to, weight);
  }

  #move(now) {
    const since = now - this.since;
    // People blink when they look away: it hides the change.
    const changing = [this.state, this.before].includes("thinking") && since >= 0;
    const lids = changing ? blink(since) : "open";
    const { eyes, head } = idle(this.state, now);
    this.#look(
      lids === "open" ? eyes : lids,
      lids !== "open" && since < LID_MS ? this.before : this.state,
    );
    if (this.still.matches) return;
    const down = Math.round(head); // as on the server: half a pixel each
    if (down === this.down) return;
    this.down = down;
    this.head.setAttribute("transform", `translate(0 ${(down * this.step).toFixed(2)})`);
  }

  #look(eyes, brows) {
    only(this.layers.eyes, eyes in this.layers.eyes ? eyes : "open");
    only(this.layers.brows, brows in this.layers.brows ? brows : "idle");
  }
}

/** The drawing in a file, put into `root`. */
function parsed(root, text) {
  // Styles in the markup would be inline ones, which the page's policy forbids; as a sheet of
  // this shadow root they touch nothing else.
  const sheet = new CSSStyleSheet();
  let rules = ":host{display:block} svg{display:block;width:100%;height:100%}";
  const plain = text.replace(/<style>([^]*?)<\/style>/g, (_, style) => {
    rules += style;
    return "";
  });
  sheet.replaceSync(rules);
  root.adoptedStyleSheets = [sheet];
  const drawing = new DOMParser().parseFromString(plain, "image/svg+xml").documentElement;
  const svg = document.importNode(drawing, true);
  for (const unsafe of svg.querySelectorAll("script, foreignObject, title")) unsafe.remove();
  root.replaceChildren(svg);
  return svg;
}

function only(layers, shown) {
  for (const [name, element] of Object.entries(layers)) {
    const display = name === shown ? "" : "none";
    if (element.style.display !== display) element.style.display = display;
  }
}
