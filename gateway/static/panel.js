// For engineers: where the time of each turn went, who answers, what gave way, and what was said
// between page and server.

import { gateway } from "./access.js";
import { Drills } from "./drills.js";
import { Latency } from "./latency.js";
import { Log } from "./log.js";
import { made } from "./made.js";
import { Waterfall } from "./waterfall.js";

const HEALTH_EVERY_MS = 2000;
const MOST_STEPS = 30;
const SPOKEN_MEANWHILE = ["filler", "holding line"]; // nothing has given way: a stage is late

export class Panel {
  constructor(root) {
    this.root = root;
    this.at = (id) => root.querySelector(`#${id}`);
    this.latency = new Latency();
    this.waterfall = new Waterfall(this.at("waterfalls"), this.at("typical"));
    this.log = new Log(this.at);
    this.drills = new Drills(this.at, {
      told: (message) => this.log.add("page", message),
      changed: () => this.#poll(),
    });
    this.measured = {};
    this.health = null;
    this.breakers = new Map(); // states, by name
    this.steps = new Map(); // how many of each kind
    this.last = "";
    root.addEventListener("toggle", () => this.#opened());
    document.addEventListener("visibilitychange", () => this.#poll());
    this.#opened();
  }

  #opened() {
    this.log.shown(this.root.open);
    this.#poll();
  }

  restart() {
    this.steps.clear();
    this.last = "";
    this.latency.restart();
    this.waterfall.restart();
    this.log.restart();
    this.#summarise();
    this.at("degraded").replaceChildren(
      made("li", "empty", "None: every provider has answered in time."),
    );
  }

  /** A message of the server. */
  take(message) {
    this.log.add("server", message);
    if (message.type === "speech.started") this.latency.started();
    if (message.type === "speech.stopped") this.latency.stopped(message.turn);
    if (message.type === "turn.metrics") this.turn(message);
    if (message.type === "degraded") this.degraded(message);
  }

  /** `turn.metrics`, drawn. */
  turn(message) {
    const { voice_to_voice_ms: total, budget_ms: budget } = message;
    const own = this.latency.of(message.turn);
    const spoken = this.waterfall.add(message, own);
    if (spoken && total !== null) {
      this.last = `last spoken turn ${own ?? Math.round(total)} ms of ${budget} ms`;
    }
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
    while (list.childElementCount > MOST_STEPS) list.lastElementChild.remove();
    const kind = meanwhile ? to : "fallback";
    this.steps.set(kind, (this.steps.get(kind) ?? 0) + 1);
    this.#summarise();
  }

  /** What this page measures itself, by name. */
  facts(measured) {
    this.measured = measured;
    this.log.session = measured.session ?? "";
    if (this.root.open) this.#showFacts();
  }

  async #poll() {
    clearTimeout(this.timer);
    if (!this.root.open || document.hidden) return;
    try {
      this.health = await (await gateway.look("/health")).json();
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
      this.#changed(`${slot}.${provider}`, breaker);
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

  /** A breaker's state; a change of it is an event. */
  #changed(name, state) {
    const before = this.breakers.get(name);
    this.breakers.set(name, state);
    if (before !== undefined && before !== state) {
      this.log.add("server", { type: "breaker", name, from: before, to: state });
    }
  }
}

/** What is under way or waits in the server, and what fits where that is known. */
function waiting({ name, unit, depth, bound }) {
  return [`${name}, under way`, `${depth}${bound === null ? "" : ` of ${bound}`} ${unit}`];
}
