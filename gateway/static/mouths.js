// A face's mouths, of which one is shown, or one on its way to another. Where all are drawn alike, the
// same elements in the same order with the same classes and path commands, the numbers in between are
// drawn: the lips move, and nothing shines through (stages/avatar/mouths.py; a test holds the two
// together). Other mouths dissolve, while both are stretched to the size in between.

const NUMERIC = new Set([
  "d", "points", "transform", "x", "y", "width", "height", "cx", "cy", "r", "rx", "ry",
  "x1", "x2", "y1", "y2", "opacity", "fill-opacity", "stroke-opacity", "stroke-width",
]);
const REFERRING = new Set(["clip-path", "mask"]);
const REFERENCE = /^url\(#([^)]+)\)$/;
const NUMBER = /-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/g;
const SEPARATORS = /[\s,]+/g;
const ARC = /^[Mm][^]*[Aa]/; // a path with an arc, whose flags are no measures
const DEEPEST = 32;

/** The mouths of `layers`, by shape, to be shown as `element`. */
export function mouths(layers, svg) {
  return Morphing.of(layers, svg) ?? new Dissolving(layers, svg);
}

function group(svg) {
  return svg.ownerDocument.createElementNS(svg.namespaceURI, "g");
}

class Morphing {
  /** Null where the mouths are not alike. */
  static of(layers, svg) {
    const numbers = {};
    let words = null;
    for (const [shape, layer] of Object.entries(layers)) {
      const read = new Reading(svg);
      if (!read.add(layer)) return null;
      const found = read.words.join("\n");
      if (words !== null && words !== found) return null;
      words = found;
      numbers[shape] = read.numbers;
    }
    return new Morphing(layers, svg, numbers);
  }

  constructor(layers, svg, numbers) {
    this.numbers = numbers;
    this.element = group(svg);
    const [first] = Object.values(layers);
    const drawn = first.cloneNode(true);
    drawn.removeAttribute("id");
    this.element.append(drawn);
    const read = new Reading(svg, this.element);
    read.add(drawn);
    this.slots = read.slots;
    this.shown = "";
  }

  /** The way from one to the other of which `weight` is done; they are the same where it is 1. */
  show(from, to, weight) {
    const shown = `${from} ${to} ${weight.toFixed(2)}`;
    if (shown === this.shown) return;
    this.shown = shown;
    const [before, after] = [this.numbers[from], this.numbers[to]];
    let i = 0;
    for (const { element, name, texts } of this.slots) {
      let value = texts[0];
      for (const text of texts.slice(1)) {
        value += ` ${Number((before[i] + (after[i] - before[i]) * weight).toFixed(3))}${text}`;
        i += 1;
      }
      element.setAttribute(name, value.trim());
    }
  }
}

/** What a layer consists of: `words` that layers which are alike share, and `numbers`. In the layer
 * that is `shown`, what it refers to is copied, and the numbers have `slots`. */
class Reading {
  constructor(svg, shown = null) {
    this.svg = svg;
    this.shown = shown;
    this.words = [];
    this.numbers = [];
    this.slots = [];
    this.copies = 0;
  }

  /** Whether it could be read. */
  add(element, deep = 0) {
    if (element === null || deep > DEEPEST) return false;
    this.words.push(`<${element.tagName}`);
    const attributes = [...element.attributes].sort((one, other) => (one.name < other.name ? -1 : 1));
    for (const { name, value } of attributes) {
      const [, referred] = (REFERRING.has(name) && REFERENCE.exec(value)) || [];
      if (referred !== undefined) {
        this.words.push(name);
        if (!this.add(this.#copied(element, name, referred), deep + 1)) return false;
      } else if (NUMERIC.has(name) && !ARC.test(value)) {
        const texts = value.split(NUMBER).map((text) => text.replace(SEPARATORS, ""));
        this.words.push(name, ...texts);
        this.numbers.push(...(value.match(NUMBER) ?? []).map(Number));
        this.slots.push({ element, name, texts });
      } else if (name !== "id") this.words.push(name, value);
    }
    for (const child of element.children) if (!this.add(child, deep + 1)) return false;
    this.words.push(">");
    return true;
  }

  #copied(element, name, id) {
    const found = this.svg.querySelector(`#${CSS.escape(id)}`);
    if (this.shown === null || found === null) return found;
    const copy = found.cloneNode(true);
    this.copies += 1;
    copy.id = `between-${this.copies}`;
    this.shown.append(copy);
    element.setAttribute(name, `url(#${copy.id})`);
    return copy;
  }
}

class Dissolving {
  constructor(layers, svg) {
    this.layers = {};
    this.boxes = measured(layers);
    this.element = group(svg);
    this.element.style.isolation = "isolate";
    for (const [shape, layer] of Object.entries(layers)) {
      const wrapped = group(svg);
      wrapped.style.mixBlendMode = "plus-lighter"; // two halves of one colour are that colour
      wrapped.style.display = "none";
      const copy = layer.cloneNode(true);
      copy.style.display = "";
      copy.removeAttribute("display");
      wrapped.append(copy);
      this.element.append(wrapped);
      this.layers[shape] = wrapped;
    }
    this.shown = {};
  }

  show(from, to, weight) {
    const wanted = from === to || weight >= 1 ? { [to]: 1 } : { [from]: 1 - weight, [to]: weight };
    for (const name of Object.keys(this.shown)) {
      if (!(name in wanted)) this.layers[name].style.display = "none";
    }
    for (const [name, opacity] of Object.entries(wanted)) {
      const layer = this.layers[name];
      layer.style.display = "";
      layer.style.opacity = opacity.toFixed(3);
      layer.setAttribute("transform", stretched(this.boxes, name, wanted));
    }
    this.shown = wanted;
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
