// Where the time of each turn went: one bar a stage, and what is typical of the spoken turns.

import { made } from "./made.js";

const MOST_TURNS = 30;

export class Waterfall {
  /** Figures go to `list`, the newest first; the summary of the spoken turns to `typical`. */
  constructor(list, typical) {
    this.list = list;
    this.typical = typical;
    this.restart();
  }

  restart() {
    this.totals = []; // of spoken turns, by the server's clock
    this.own = []; // the same, as heard here
    this.budget = undefined;
    this.list.replaceChildren(made("p", "empty", "The first turn has not ended yet."));
    this.#summarise();
  }

  /** `turn.metrics`; `own` is what this browser measured of it, undefined where it did not. Returns
   * whether the turn was spoken: else there was nothing to wait for. */
  add({ turn, budget_ms: budget, stages, voice_to_voice_ms: total, shares = [] }, own) {
    this.list.querySelector(".empty")?.remove();
    const figure = made("figure", "waterfall");
    const spoken = stages.some(({ stage }) => stage === "stt");
    const heard = total === null ? "not heard" : `${Math.round(total)} ms to the first sound`;
    const both = own !== undefined && total !== null;
    const told = both ? `${own} ms as heard here, ${Math.round(total)} ms by the server` : heard;
    const verdict = spoken ? told : `${turn === 0 ? "the opening" : "typed"}, ${heard}`;
    const late = total !== null && total > budget;
    const caption = made("figcaption", late ? "late" : "", `Turn ${turn}: ${verdict}`);
    const lost = shares.filter(({ failed }) => failed);
    const words = lost.map(({ provider, ms }) => `, ${Math.round(ms)} ms lost with ${provider}`);
    caption.append(made("small", "", `budget ${budget} ms${words.join("")}`));
    figure.append(caption);
    const scale = Math.max(budget * 1.25, (total ?? 0) * 1.1, own ?? 0);
    const shown = stages.filter(({ stage }) => spoken || stage !== "endpointing");
    for (const stage of shown) figure.append(bar(stage, scale, budget, total));
    this.list.prepend(figure);
    while (this.list.childElementCount > MOST_TURNS) this.list.lastElementChild.remove();
    if (spoken && total !== null) {
      this.totals.push(total);
      if (own !== undefined) this.own.push(own);
      this.budget = budget;
      this.#summarise();
    }
    return spoken;
  }

  #summarise() {
    const pairs = [
      ["spoken turns", `${this.totals.length}`],
      ["first sound, p50", figure(this.totals, 0.5)],
      ["p95", figure(this.totals, 0.95)],
      ["as heard here, p50", figure(this.own, 0.5)],
      ["p95", figure(this.own, 0.95)],
      ["budget", this.budget === undefined ? "–" : `${this.budget} ms`],
    ];
    this.typical.replaceChildren(
      ...pairs.map(([name, value]) => {
        const pair = made("div");
        pair.append(made("dt", "", name), made("dd", "", value));
        return pair;
      }),
    );
  }
}

/** A percentile by the nearest rank, for people. */
function figure(values, share) {
  if (values.length === 0) return "–";
  const sorted = [...values].sort((one, other) => one - other);
  return `${Math.round(sorted[Math.ceil(share * sorted.length) - 1])} ms`;
}

function bar({ stage, provider, start, first, end }, scale, budget, total) {
  const row = made("div", "bar-row");
  const track = made("div", "track");
  const percent = (ms) => `${Math.max(0, Math.min(100, (ms / scale) * 100))}%`;
  const span = made("span", `span ${stage}`);
  span.style.left = percent(start);
  const until = end ?? Math.max(start, total ?? start); // it never came to an end
  span.style.width = `max(3px, ${percent(Math.min(until, scale) - start)})`;
  if (until > scale) span.classList.add("beyond");
  const gaveUp = end === null && first === null; // a reply that is stopped has no end either
  if (gaveUp) span.classList.add("gave-up");
  track.append(span);
  for (const [name, at] of [["first", first], ["budget", budget], ["sound", total]]) {
    if (at === null || at > scale) continue;
    const mark = made("i", name);
    mark.style.left = percent(at);
    track.append(mark);
  }
  const shown = first === null ? `${Math.round(start)} – ${Math.round(end)}` : `${Math.round(first)}`;
  const words = gaveUp ? "gave up" : `${shown} ms`;
  row.append(made("span", "slot", stage), made("span", "who", provider), track);
  row.append(made("span", "ms", words));
  return row;
}
