// For engineers: where the time of each turn went, who answers, and what gave way.

const HEALTH_EVERY_MS = 5000;
const MOST_TURNS = 30;
const SPOKEN_MEANWHILE = ["filler", "holding line"]; // nothing has given way: a stage is late

export class Panel {
  constructor(root) {
    this.root = root;
    this.at = (id) => root.querySelector(`#${id}`);
    this.measured = {};
    this.health = null;
    this.steps = new Map(); // how many of each kind
    this.last = "";
    root.addEventListener("toggle", () => this.#poll());
    document.addEventListener("visibilitychange", () => this.#poll());
  }

  restart() {
    this.steps.clear();
    this.last = "";
    this.#summarise();
    this.at("waterfalls").replaceChildren(made("p", "empty", "The first turn has not ended yet."));
    this.at("degraded").replaceChildren(
      made("li", "empty", "None: every provider has answered in time."),
    );
  }

  /** `turn.metrics`, drawn: one bar a stage. */
  turn({ turn, budget_ms: budget, stages, voice_to_voice_ms: total, shares = [] }) {
    const list = this.at("waterfalls");
    list.querySelector(".empty")?.remove();
    const figure = made("figure", "waterfall");
    const heard = total === null ? "not heard" : `${Math.round(total)} ms to the first sound`;
    const spoken = stages.some(({ stage }) => stage === "stt"); // else there was nothing to wait for
    const verdict = spoken ? heard : `${turn === 0 ? "the opening" : "typed"}, ${heard}`;
    const late = total !== null && total > budget;
    const caption = made("figcaption", late ? "late" : "", `Turn ${turn}: ${verdict}`);
    const lost = shares.filter(({ failed }) => failed);
    const words = lost.map(({ provider, ms }) => `, ${Math.round(ms)} ms lost with ${provider}`);
    caption.append(made("small", "", `budget ${budget} ms${words.join("")}`));
    figure.append(caption);
    const scale = Math.max(budget * 1.25, (total ?? 0) * 1.1);
    const shown = stages.filter(({ stage }) => spoken || stage !== "endpointing");
    for (const stage of shown) figure.append(bar(stage, scale, budget, total));
    list.prepend(figure);
    while (list.childElementCount > MOST_TURNS) list.lastElementChild.remove();
    if (spoken && total !== null) this.last = `last spoken turn ${Math.round(total)} ms of ${budget} ms`;
    this.#summarise();
  }

  #summarise() {
    const steps = [...this.steps].map(([kind, n]) => `${n} ${kind}${n > 1 ? "s" : ""}`);
    const words = [this.last, ...steps].filter(Boolean).join(", ");
    this.at("panel-summary").textContent = words || "where the milliseconds of every turn go";
  }

  degraded({ turn, stage, from, to, reason }) {
    const list = this.at("degraded");
    list.querySelector(".empty")?.remove();
    const meanwhile = SPOKEN_MEANWHILE.includes(to);
    const step = meanwhile ? `${to}, while ${stage} ${from} is waited for` : `${stage} ${from} → ${to}`;
    list.prepend(made("li", "", `Turn ${turn}: ${step}. ${reason}`));
    while (list.childElementCount > MOST_TURNS) list.lastElementChild.remove();
    const kind = meanwhile ? to : "fallback";
    this.steps.set(kind, (this.steps.get(kind) ?? 0) + 1);
    this.#summarise();
  }

  /** What this page measures itself, by name. */
  facts(measured) {
    this.measured = measured;
    if (this.root.open) this.#showFacts();
  }

  async #poll() {
    clearTimeout(this.timer);
    if (!this.root.open || document.hidden) return;
    try {
      this.health = await (await fetch("/health", { cache: "no-store" })).json();
      this.#showHealth();
    } catch {
      this.health = null;
    }
    this.#showFacts();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#poll(), HEALTH_EVERY_MS);
  }

  #showFacts() {
    const { gateway, store, queues = [] } = this.health ?? {};
    const facts = {
      gateway: gateway ? `${gateway.status}, ${gateway.version}` : "does not answer",
      ...(gateway?.places ? { "places taken": `${gateway.taken} of ${gateway.places}` } : {}),
      ...this.#named("stt", "heard with"),
      ...this.#named("tts", "spoken by"),
      ...(store ? { "sessions kept": `${store.kind}, ${store.status}` } : {}),
      ...Object.fromEntries(queues.map(waiting)),
      ...this.measured,
    };
    this.at("facts").replaceChildren(
      ...Object.entries(facts).map(([name, value]) => {
        const pair = made("div");
        pair.append(made("dt", "", name), made("dd", "", value));
        return pair;
      }),
    );
  }

  /** Who answers in a slot, and with which model. */
  #named(slot, words) {
    const stage = this.health?.stages.find((entry) => entry.slot === slot);
    return stage ? { [words]: [stage.provider, stage.detail].filter(Boolean).join(" ") } : {};
  }

  #showHealth() {
    const breakers = new Map();
    for (const { slot, provider, breaker } of this.health.providers) {
      breakers.set(slot, [...(breakers.get(slot) ?? []), { provider, breaker }]);
    }
    this.at("stages").replaceChildren(
      ...this.health.stages.map((stage) => {
        const row = made("tr");
        const provider = made("td", "", stage.provider);
        provider.title = stage.why;
        const note = [stage.status === "online" ? "" : stage.status, stage.detail, stage.note];
        const shown = note.filter(Boolean).join(", ");
        if (shown) provider.append(made("small", "", shown));
        const states = made("td");
        const candidates = breakers.get(stage.slot) ?? [];
        for (const { provider: name, breaker } of candidates) {
          const words = candidates.length > 1 ? `${name} ${breaker}` : breaker;
          states.append(made("span", `chip ${breaker}`, words.replace("_", "-")));
        }
        const slot = made("th", "", stage.slot);
        slot.scope = "row";
        row.append(slot, provider, states);
        return row;
      }),
    );
  }
}

/** What is under way or waits in the server, and what fits where that is known. */
function waiting({ name, unit, depth, bound }) {
  return [`${name}, under way`, `${depth}${bound === null ? "" : ` of ${bound}`} ${unit}`];
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
  const figure = gaveUp ? "gave up" : `${shown} ms`;
  row.append(made("span", "slot", stage), made("span", "who", provider), track);
  row.append(made("span", "ms", figure));
  return row;
}

function made(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
