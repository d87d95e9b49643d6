// The interviewer's face: a layered SVG whose mouth follows what is being heard.
//
// A face is a folder with `face.json` and `face.svg` (docs: stages/avatar). The file shows all of its
// layers at once; here one of each kind is shown, the mouth as a dissolve between two.

const ATTACK_MS = 70;
const EARLY_MS = 20; // a shape is complete so long after its cue begins
const CLOSE_MS = 60;
const HOLD_MS = 40; // lips that close stay closed so long
const CLOSED = new Set(["PP", "FF"]);
const SMALLER = { aa: "E", E: "ih", oh: "ou" };

const BLINK_EVERY_MS = [2500, 5500];
const BLINK = [["half", 40], ["closed", 80], ["half", 40]];

/** What the cues of one reply say, put in order of time. */
export class Timeline {
  constructor(turn) {
    this.turn = turn;
    this.steps = []; // {from, full, shape}: when the attack begins, and when it is complete
  }

  add(cues) {
    for (const { t, d, v, w } of cues) {
      const shape = w < 0.1 ? "sil" : w < 0.5 ? (SMALLER[v] ?? v) : v;
      const attack = Math.min(ATTACK_MS, Math.max(1, d));
      const full = CLOSED.has(v) ? t : t + EARLY_MS;
      const last = this.steps.at(-1);
      const held = last && CLOSED.has(last.shape) ? last.full + HOLD_MS : 0;
      const from = Math.max(full - attack, held);
      this.steps.push({ from, full: Math.max(full, from + 1), shape });
    }
  }

  /** `[from, to, weight]`: the mouth at a moment, a dissolve from one shape to another. */
  at(ms) {
    let low = 0;
    let high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle].from <= ms) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return ["sil", "sil", 1];
    const { from, full, shape } = this.steps[low - 1];
    const before = this.steps[low - 2]?.shape ?? "sil";
    return [before, shape, Math.min(1, (ms - from) / (full - from))];
  }
}

/** The faces that the server has, as `{id, name, description}`. */
export async function faces() {
  const answer = await fetch("/faces");
  return answer.ok ? (await answer.json()).faces : [];
}

export class Face {
  /** Draw the face in `host`, in place of one that is there. `cursor()` is the speaker's. */
  static async load(host, id, cursor) {
    const folder = `/faces/${encodeURIComponent(id)}`;
    const [manifest, text] = await Promise.all([
      fetch(`${folder}/face.json`).then((answer) => answer.json()),
      fetch(`${folder}/face.svg`).then((answer) => answer.text()),
    ]);
    if (manifest.format !== "parley-face/1") throw new Error(`${id} is no face of this format`);
    return new Face(host, manifest, text, cursor);
  }

  constructor(host, manifest, text, cursor) {
    this.cursor = cursor;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.state = "idle";
    this.timeline = null;
    this.shape = "sil";
    this.moves = 0; // how often the mouth has changed its shape
    this.closing = null;
    this.shown = {};
    host.setAttribute("aria-label", `The interviewer, drawn: ${manifest.description}`);
    const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    const svg = this.#draw(root, text, manifest);
    root.replaceChildren(svg);
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
      if (Object.values(this.layers.mouth).includes(child)) {
        child.style.mixBlendMode = "plus-lighter";
        mouths.append(child);
        if (!mouths.isConnected && mouths.parentNode === null) this.head.append(mouths);
      } else this.head.append(child);
    }
    svg.append(this.head);
    for (const kind of Object.values(this.layers)) {
      for (const element of Object.values(kind)) element.style.display = "none";
    }
    return svg;
  }

  /** `avatar.state` of the server. */
  setState(state) {
    this.state = state;
    this.#brows();
    if (performance.now() < this.nextBlink) this.#eyes(this.#gaze());
  }

  /** `visemes` of the server. Those of a reply stay until the next one. */
  cues({ turn, cues }) {
    if (this.timeline?.turn !== turn) this.timeline = new Timeline(turn);
    this.timeline.add(cues);
  }

  /** Another connection: its turns have other cues. */
  forget() {
    this.timeline = null;
  }

  close() {
    cancelAnimationFrame(this.frame);
  }

  #step(now) {
    const cursor = this.cursor();
    const speaking =
      cursor !== null && cursor.sounding && this.timeline?.turn === cursor.turn;
    if (speaking) {
      this.closing = null;
      this.#mouth(...this.timeline.at(cursor.ms));
    } else if (this.shape !== "sil") {
      this.closing ??= { at: now, from: this.shape };
      const weight = Math.min(1, (now - this.closing.at) / CLOSE_MS);
      this.#mouth(this.closing.from, "sil", weight, weight < 1 ? this.closing.from : "sil");
    }
    this.#blink(now);
    if (!this.still.matches) {
      const lively = speaking ? Math.sin(now / 370) * 0.7 + Math.sin(now / 910) * 0.6 : 0;
      const breath = Math.sin(now / 1500) * 0.7;
      this.head.setAttribute("transform", `translate(0 ${(lively + breath).toFixed(2)})`);
    }
    this.frame = requestAnimationFrame((next) => this.#step(next));
  }

  #mouth(from, to, weight, shape = to) {
    if (shape !== this.shape) this.moves += 1;
    this.shape = shape;
    const wanted = from === to || weight >= 1 ? { [to]: 1 } : { [from]: 1 - weight, [to]: weight };
    for (const name of Object.keys(this.shown)) {
      if (!(name in wanted)) this.layers.mouth[name].style.display = "none";
    }
    for (const [name, opacity] of Object.entries(wanted)) {
      const { style } = this.layers.mouth[name];
      style.display = "";
      style.opacity = opacity.toFixed(3);
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

function only(layers, shown) {
  for (const [name, element] of Object.entries(layers)) {
    element.style.display = name === shown ? "" : "none";
  }
}
