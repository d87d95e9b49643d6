"use strict";
const data = JSON.parse(document.getElementById("lanes").textContent);
const view = document.getElementById("view"), svg = document.getElementById("lines");
const tip = document.getElementById("tip"), now = document.getElementById("now");
const LEFT = 92, GAP = 8, LEAST = 50, FLOOR = -96;
const whole = Math.max(data.end * 1.01, LEAST);
const stages = [...new Set(data.bars.map(bar => bar[3]))];
const kinds = ["input", "decision", "output", "trouble"].filter(
  kind => data.ticks.some(tick => tick[3] === kind));
const tips = new WeakMap();
let from = 0, to = whole, width = 0, asked = false;

function add(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  svg.append(made);
  return made;
}
const x = at => LEFT + (at - from) / (to - from) * (width - LEFT);
const clamp = at => Math.max(LEFT, Math.min(width, x(at)));
const clock = (at, digits) => {
  const sign = at < 0 ? "-" : "", s = Math.abs(at) / 1000, rest = (s % 60).toFixed(digits);
  return sign + Math.floor(s / 60) + ":" + (rest.split(".")[0].length < 2 ? "0" : "") + rest;
};
const lasting = (start, end) =>
  `${clock(start, 3)} to ${clock(end, 3)}, ${Math.round(end - start)} ms`;
function first(values, at, step) {  // index of the first entry not before `at`
  let low = 0, high = values.length / step;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle * step] < at) low = middle + 1; else high = middle;
  }
  return low;
}
function lane(name, top, height) {
  add("rect", {class: "lane", x: LEFT, y: top, width: Math.max(0, width - LEFT), height});
  add("text", {class: "name", x: 4, y: top + Math.min(height / 2 + 4, 14)},
    name.length > 15 ? name.slice(0, 14) + "…" : name);
}
function step() {  // a round distance between two marks, about 90 pixels
  const raw = (to - from) / Math.max(1, (width - LEFT) / 90);
  const round = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5,
    6e5, 18e5];
  return round.find(each => each >= raw) || Math.ceil(raw / 36e5) * 36e5;
}
function columns(values) {  // [x, least, most] for every pixel column that has a value
  const found = [], end = first(values, to, 2);
  for (let i = Math.max(0, first(values, from, 2) - 1); i <= end && i * 2 < values.length; i++) {
    const column = Math.round(x(values[i * 2])), value = values[i * 2 + 1];
    const last = found[found.length - 1];
    if (last && last[0] === column) {
      last[1] = Math.min(last[1], value); last[2] = Math.max(last[2], value);
    } else found.push([column, value, value]);
  }
  return found;
}
function blocks(values, span, top, height, share, name) {  // each value fills the `span` before it
  const wide = Math.max(1, x(span) - x(0));
  let path = "";
  for (const [column, , most] of columns(values)) {
    const tall = Math.max(1, height * Math.max(0, Math.min(1, share(most))));
    const left = Math.max(LEFT, Math.floor(column - wide)), right = Math.max(column, left + 1);
    if (column >= LEFT) path += `M${left} ${top + height}v${-tall}H${right}v${tall}Z`;
  }
  add("path", {class: name, d: path});
}
function draw() {
  asked = false;
  width = view.clientWidth;
  svg.replaceChildren();
  let y = 22;
  lane("level", y, 46);
  blocks(data.levels, 100, y, 46, db => 1 - db / FLOOR, "level");
  y += 46 + GAP;
  lane("speech", y, 90);
  const height = p => y + 88 - p * 86;
  for (const [name, p] of [["start", data.start], ["stop", data.stop]]) {
    add("line", {class: name, x1: LEFT, x2: width, y1: height(p), y2: height(p)});
    add("text", {x: LEFT - 30, y: height(p) + 4}, p.toFixed(2));
  }
  let path = "";
  for (const [column, least, most] of columns(data.speech)) {
    path += (path ? "L" : "M") + column + " " + height(most).toFixed(1);
    if (least !== most) path += "L" + column + " " + height(least).toFixed(1);
  }
  add("path", {class: "speech", d: path});
  y += 90 + GAP;
  lane("turns", y, 26);
  for (const [start, end, state, turn] of data.bands) {
    if (end < from || start > to) continue;
    const left = clamp(start), wide = Math.max(1, clamp(end) - left);
    tips.set(add("rect", {class: state, x: left, y: y, width: wide, height: 26}),
      `turn ${turn}: ${state}\n${lasting(start, end)}`);
    if (state !== "idle" && wide > 24) {
      add("text", {class: "turn", x: left + 5, y: y + 17}, wide > 90 ? `${turn} ${state}` : turn);
    }
  }
  y += 26 + GAP;
  for (const stage of stages) {
    lane(stage, y, 16);
    for (const [start, first, end, name, provider, turn] of data.bars) {
      if (name !== stage || end < from || start > to) continue;
      const waited = first === null ? "" : `, first after ${Math.round(first - start)} ms`;
      const told = `turn ${turn}: ${stage}, ${provider}\n${lasting(start, end)}${waited}`;
      const middle = first === null ? start : first;
      for (const [look, a, b] of [["waiting", start, middle], ["working", middle, end]]) {
        if (look === "waiting" && a === b) continue;
        const left = clamp(a), wide = Math.max(1.5, clamp(b) - left);
        tips.set(add("rect", {class: look, x: left, y: y + 2, width: wide, height: 12}), told);
      }
    }
    y += 16 + 2;
  }
  y += stages.length ? GAP - 2 : 0;
  for (const kind of kinds) {
    lane(kind, y, 18);
    let last = -9;
    for (const [at, label, detail, which] of data.ticks) {
      const column = x(at);
      if (which !== kind || column < LEFT || column > width) continue;
      if (column - last < .5) continue;
      last = column;
      const place = {x1: column, x2: column, y1: y + 2, y2: y + 16};
      add("line", {class: "tick " + kind, ...place});
      tips.set(add("line", {class: "hit", ...place}), () => near(at, kind));
    }
    y += 18 + 2;
  }
  y += kinds.length ? GAP - 2 : 0;
  for (const [name, ages] of data.queues) {
    lane(name, y, 34);
    let most = 1;
    for (let i = 1; i < ages.length; i += 2) most = Math.max(most, ages[i]);
    blocks(ages, (to - from) / Math.max(1, width - LEFT) * 3, y, 34, ms => ms / most, "age");
    add("text", {x: 4, y: y + 28}, `waits ≤ ${Math.round(most)} ms`);
    y += 34 + GAP;
  }
  add("rect", {class: "margin", x: 0, y: 0, width, height: 20});
  const mark = step(), digits = mark < 10 ? 3 : mark < 1000 ? 2 : 0;
  for (let at = Math.ceil(from / mark) * mark; at <= to; at += mark) {
    add("line", {class: "rule", x1: x(at), x2: x(at), y1: 18, y2: y - GAP});
    add("text", {x: Math.min(x(at) + 3, width - 40), y: 14}, clock(at, digits));
  }
  svg.setAttribute("height", y);
  svg.setAttribute("viewBox", `0 0 ${width} ${y}`);
  now.textContent = `${clock(from, 2)} to ${clock(to, 2)}`;
}
function near(at, kind) {  // what happened within a few pixels of a tick
  const reach = (to - from) / Math.max(1, width - LEFT) * 4;
  const found = data.ticks.filter(tick => tick[3] === kind && Math.abs(tick[0] - at) <= reach);
  const shown = found.slice(0, 6).map(tick => `${clock(tick[0], 3)} ${tick[2]}`);
  return shown.join("\n") + (found.length > 6 ? `\nand ${found.length - 6} more: zoom in` : "");
}
function ask() { if (!asked) { asked = true; requestAnimationFrame(draw); } }
function look(start, end) {
  const span = Math.max(LEAST, Math.min(whole, end - start));
  from = Math.max(0, Math.min(whole - span, start));
  to = from + span;
  hide();
  ask();
}
function zoom(factor, about) {
  const middle = about === undefined ? (from + to) / 2 : about;
  const span = Math.max(LEAST, Math.min(whole, (to - from) * factor));
  const share = (middle - from) / (to - from);
  look(middle - span * share, middle + span * (1 - share));
}
function move(share) { const by = (to - from) * share; look(from + by, to + by); }
function moment(event) {
  const at = event.clientX - view.getBoundingClientRect().left;
  return from + Math.max(0, at - LEFT) / Math.max(1, width - LEFT) * (to - from);
}
function hide() { tip.hidden = true; }
function value(values, at) {
  const i = first(values, at, 2);
  return i * 2 < values.length ? values[i * 2 + 1] : undefined;
}
function tell(event) {
  const at = moment(event), box = view.getBoundingClientRect();
  const p = value(data.speech, at), db = value(data.levels, at);
  now.textContent = clock(at, 3) + (p === undefined ? "" : ` · speech ${p.toFixed(3)}`) +
    (db === undefined ? "" : ` · ${db.toFixed(1)} dBFS`);
  const text = tips.get(event.target);
  if (text === undefined) return hide();
  tip.textContent = typeof text === "function" ? text() : text;
  tip.hidden = false;
  const left = event.clientX - box.left, top = event.clientY - box.top;
  tip.style.left = Math.max(4, Math.min(left + 12, box.width - tip.offsetWidth - 4)) + "px";
  tip.style.top = Math.max(4, Math.min(top + 14, box.height - tip.offsetHeight - 4)) + "px";
}
let held = null;
view.addEventListener("wheel", event => {
  event.preventDefault();
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(event.deltaX / 1000);
  else zoom(Math.exp(event.deltaY / 400), moment(event));
}, {passive: false});
view.addEventListener("pointerdown", event => {
  held = {x: event.clientX, from, to};
  view.setPointerCapture(event.pointerId);
});
view.addEventListener("pointermove", event => {
  if (held === null) return tell(event);
  const by = (held.x - event.clientX) / Math.max(1, width - LEFT) * (held.to - held.from);
  look(held.from + by, held.to + by);
});
view.addEventListener("pointerup", () => { held = null; });
view.addEventListener("pointercancel", () => { held = null; });
view.addEventListener("pointerleave", hide);
view.addEventListener("dblclick", () => look(0, whole));
view.addEventListener("keydown", event => {
  const does = {ArrowLeft: () => move(-.2), ArrowRight: () => move(.2), "+": () => zoom(.6),
    "=": () => zoom(.6), "-": () => zoom(1 / .6), Home: () => look(0, to - from),
    End: () => look(whole - (to - from), whole), "0": () => look(0, whole)}[event.key];
  if (does === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  does();
});
const press = (id, does) => document.getElementById(id).addEventListener("click", does);
press("fit", () => look(0, whole));
press("in", () => zoom(.5));
press("out", () => zoom(2));
press("back", () => move(-.5));
press("on", () => move(.5));
const sound = document.getElementById("sound"), spoken = document.getElementById("spoken");
if (spoken) spoken.addEventListener("change", () => { sound.currentTime = Number(spoken.value); });
new ResizeObserver(ask).observe(view);
