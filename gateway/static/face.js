// The interviewer's face: a layered SVG whose mouth follows what is being heard.
//
// A face is a folder with `face.json` and `face.svg` (docs: stages/avatar). The file shows all of its
// layers at once; here one of each kind is shown. Between two mouths they dissolve while both are
// stretched to the size in between, so that their lips lie on one another.

import { Mouth } from "./timeline.js";

const MOST_COMING = 256;
const BLINK_EVERY_MS = [2500, 5500];
const BLINK = [["half", 40], ["closed", 80], ["half", 40]];

/** The faces that the server has, as `{id, name, description}`. */
export async function faces() {
  const answer = await fetch("/faces");
  return answer.ok ? (await answer.json()).faces : [];
}

export class Face {
  /** A face's manifest and picture. */
  static async read(id) {
    const folder = `/faces/${encodeURIComponent(id)}`;
    const [manifest, text] = await Promise.all([
      fetch(`${folder}/face.json`).then((answer) => answer.json()),
      fetch(`${folder}/face.svg`).then((answer) => answer.text()),
    ]);
    if (manifest.format !== "parley-face/1") throw new Error(`${id} is no face of this format`);
    return [manifest, text];
  }

  /** Draw it in `host`, in place of one that is there. `cursor()` is the speaker's. */
  constructor(host, manifest, text, cursor) {
    this.cursor = cursor;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.state = "idle";
    this.mouth = new Mouth();
    this.shape = "sil";
    this.coming = []; // cues of replies that wait behind the one that is heard
    this.moves = 0; // how often the mouth has changed its shape
    this.shown = {};
    host.setAttribute("aria-label", `Parley, drawn: ${manifest.description}`);
    const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    const svg = this.#draw(root, text, manifest);
    root.replaceChildren(svg);
    this.boxes = measured(this.layers.mouth);
    for (const kind of Object.values(this.layers)) {
      for (const element of Object.values(kind)) element.style.display = "none";
    }
    this.#eyes("open");
    this.#brows();
    this.#mouth("sil", "sil", 1);
    this.nextBlink = performance.now() + 1500;
    this.frame = requestAnimationFrame((now) => this.#step(now));
  }

  #draw(root, text, { layers }) {
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
    const parsed = new DOMParser().parseFromString(plain, "image/svg+xml").documentElement;
    const svg = document.importNode(parsed, true);
    svg.setAttribute("aria-hidden", "true");
    for (const unsafe of svg.querySelectorAll("script, foreignObject, title")) unsafe.remove();
    const layer = (id) => svg.querySelector(`#${CSS.escape(id)}`);
    const named = (ids) =>
      Object.fromEntries(Object.entries(ids).map(([name, id]) => [name, layer(id)]));
    this.layers = { mouth: named(layers.mouth), eyes: named(layers.eyes), brows: named(layers.brows) };
    this.head = document.createElementNS(svg.namespaceURI, "g");
    const mouths = document.createElementNS(svg.namespaceURI, "g");
    mouths.style.isolation = "isolate";
    const base = layer(layers.base);
    for (const child of [...svg.children]) {
      if (child === base || child.tagName === "defs") continue;
      const [name] = Object.entries(this.layers.mouth).find(([, mouth]) => mouth === child) ?? [];
      if (name !== undefined) {
        const wrapped = document.createElementNS(svg.namespaceURI, "g");
        wrapped.style.mixBlendMode = "plus-lighter"; // two halves of one colour are that colour
        wrapped.append(child);
        mouths.append(wrapped);
        this.layers.mouth[name] = wrapped;
        if (mouths.parentNode === null) this.head.append(mouths);
      } else this.head.append(child);
    }
    svg.append(this.head);
    return svg;
  }

  /** `avatar.state` of the server. */
  setState(state) {
    this.state = state;
    this.#brows();
    if (performance.now() < this.nextBlink) this.#eyes(this.#gaze());
  }

  /** `visemes` of the server. Those of a reply stay until the next one is heard. */
  cues(message) {
    const heard = this.cursor()?.turn;
    if (heard === undefined || message.turn === heard) this.mouth.add(message);
    else this.coming = [...this.coming, message].slice(-MOST_COMING);
  }

  /** A reply that waited is heard now. */
  #came(turn) {
    if (this.coming.length === 0) return;
    for (const message of this.coming) if (message.turn === turn) this.mouth.add(message);
    this.coming = this.coming.filter((message) => message.turn > turn);
  }

  /** Another connection: its turns have other cues. */
  forget() {
    this.coming = [];
    this.mouth.forget();
  }

  close() {
    cancelAnimationFrame(this.frame);
  }

  #step(now) {
    const cursor = this.cursor();
    if (cursor !== null) this.#came(cursor.turn);
    const speaking =
      cursor !== null && cursor.sounding && this.mouth.track?.turn === cursor.turn;
    this.#mouth(...this.mouth.at(now, speaking ? cursor.ms : null));
    this.#blink(now);
    if (!this.still.matches) {
      const lively = speaking ? Math.sin(now / 370) * 0.7 + Math.sin(now / 910) * 0.6 : 0;
      const breath = Math.sin(now / 1500) * 0.7;
      this.head.setAttribute("transform", `translate(0 ${(lively + breath).toFixed(2)})`);
    }
    this.frame = requestAnimationFrame((next) => this.#step(next));
  }

  #mouth(from, to, weight) {
    const shape = weight < 1 && to === "sil" ? from : to;
    if (shape !== this.shape) this.moves += 1;
    this.shape = shape;
    const wanted = from === to || weight >= 1 ? { [to]: 1 } : { [from]: 1 - weight, [to]: weight };
    for (const name of Object.keys(this.shown)) {
      if (!(name in wanted)) this.layers.mouth[name].style.display = "none";
    }
    for (const [name, opacity] of Object.entries(wanted)) {
      const layer = this.layers.mouth[name];
      layer.style.display = "";
      layer.style.opacity = opacity.toFixed(3);
      layer.setAttribute("transform", stretched(this.boxes, name, wanted));
    }
    this.shown = wanted;
  }

  #blink(now) {
    if (now < this.nextBlink) return;
    let since = now - this.nextBlink;
    for (const [eyes, lasts] of BLINK) {
      if (since < lasts) return this.#eyes(eyes);
      since -= lasts;
    }
    this.#eyes(this.#gaze());
    const [shortest, longest] = BLINK_EVERY_MS;
    this.nextBlink = now + shortest + Math.random() * (longest - shortest);
  }

  #gaze() {
    return this.state === "thinking" && this.layers.eyes.aside ? "aside" : "open";
  }

  #eyes(shown) {
    only(this.layers.eyes, shown);
  }

  #brows() {
    only(this.layers.brows, this.state in this.layers.brows ? this.state : "idle");
  }
}

/** The rectangles of drawn layers, null where one cannot be stretched. */
function measured(layers) {
  const boxes = {};
  for (const [name, element] of Object.entries(layers)) {
    const { x, y, width, height } = element.getBBox();
    boxes[name] = width > 0 && height > 0 ? { x, y, width, height } : null;
  }
  return boxes;
}

/** What brings a mouth to the size between those that are shown, by their weights. */
function stretched(boxes, name, shown) {
  const own = boxes[name];
  const names = Object.keys(shown);
  if (names.length < 2 || names.some((one) => boxes[one] === null)) return "";
  const between = (side) => names.reduce((sum, one) => sum + boxes[one][side] * shown[one], 0);
  const wide = between("width") / own.width;
  const high = between("height") / own.height;
  const right = between("x") - own.x * wide;
  const down = between("y") - own.y * high;
  return `translate(${right.toFixed(2)} ${down.toFixed(2)}) scale(${wide.toFixed(3)} ${high.toFixed(3)})`;
}

function only(layers, shown) {
  for (const [name, element] of Object.entries(layers)) {
    element.style.display = name === shown ? "" : "none";
  }
}
