// What the operator's page shows of the gateway: a table for each kind of thing, with its controls.

import { made } from "../made.js";
import { Table } from "./table.js";

const HOUR_S = 3600;
const PLACES = {
  address: "each network address",
  key: "each key, token, ticket or pass",
  service: "each service",
  day: "each key: changes in a day",
  "tokens-day": "each key: tokens of models in a day",
  "tokens-month": "each key: tokens of models in a month",
  "tokens-session": "each session: tokens of models in a day",
};
const NO_LIMITS = "Nothing is limited beside the places.";
const NOT_COUNTED = "Nothing can be counted at present: the store does not answer.";

export class Sections {
  /** `at(id)` finds the parts; `act(words, path, method, question)` does something, after a question
   * where there is one. */
  constructor(at, act) {
    this.at = at;
    const host = (id) => at(id).querySelector(".scrolls");
    this.sessions = new Table(host("sessions"), SESSION, {
      caption: "The live sessions, the oldest first",
      empty: "Nobody talks at present.",
      acts: ({ session_id: id }) => [
        {
          name: "End",
          label: `End session ${id}`,
          danger: true,
          done: () => act(`Session ${id} ends.`, `/admin/sessions/${encodeURIComponent(id)}`, "DELETE",
            `End session ${id}? Its person is cut off; what was said is stored.`),
        },
      ],
    });
    this.breakers = new Table(host("breakers"), BREAKER, {
      caption: "The circuit breakers, by stage and provider",
      empty: "No provider has a breaker.",
      acts: ({ name }) => [
        change(act, name, "reset", "Reset", `Breaker ${name} is reset.`),
        change(act, name, "force-open", "Force open", `Breaker ${name} is forced open.`,
          `Force ${name} open? Nobody asks this provider anything until a reset.`),
        change(act, name, "disable", "Disable", `Breaker ${name} is disabled.`,
          `Disable ${name}? Every call passes, whatever fails, until a reset.`),
      ],
    });
    this.services = new Table(host("services"), SERVICE, {
      caption: "The services behind the gateway",
      empty: "There are none: PARLEY_SERVICES names no file.",
      acts: ({ name }) => [
        {
          name: "Ask now",
          label: `Ask now how ${name} is`,
          done: () => act(`${name} was asked.`, `/admin/services/${encodeURIComponent(name)}/health`, "GET"),
        },
        {
          name: "Reset",
          label: `Reset the breakers of ${name}`,
          done: () => act(`The breakers of ${name} are reset.`,
            `/admin/services/${encodeURIComponent(name)}/circuit-reset`, "POST"),
        },
      ],
    });
    this.instances = new Table(host("instances"), INSTANCE, {
      caption: "The instances of the services",
      empty: "There are none.",
    });
    this.limits = new Table(host("limits"), LIMIT, {
      caption: "The limits of requests and tokens",
      empty: NO_LIMITS,
    });
  }

  show({ health, sessions, breakers, services, limits, metrics }) {
    this.#facts(health, metrics);
    this.sessions.show(numbered(sessions, ({ session_id: id, worker }) => `${id} ${worker}`), keyed);
    this.breakers.show(numbered(breakers, ({ name }) => name), keyed);
    this.services.show(numbered(services, ({ name }) => name), keyed);
    const instances = services.flatMap(({ name, instances: own }) =>
      own.map((one) => ({ service: name, ...one })),
    );
    this.instances.show(numbered(instances, ({ service, host, port }) => `${service} ${host} ${port}`), keyed);
    this.limits.show(numbered(limits.limits, ({ policy }) => policy), keyed);
    this.at("limits-words").textContent = limits.counting ? "" : NOT_COUNTED;
  }

  /** Who has no key sees nothing. */
  clear() {
    for (const table of [this.sessions, this.breakers, this.services, this.instances, this.limits]) table.clear();
    this.at("facts").replaceChildren();
    this.at("limits-words").textContent = "";
  }

  #facts({ gateway, store }, { total_requests: requests, failed_requests: failed }) {
    const { refuses, why } = gateway.pressure ?? { refuses: [], why: [] };
    const facts = {
      status: gateway.status,
      version: gateway.version,
      "serves since": lasting(gateway.uptime_seconds),
      processes: gateway.workers ?? 1,
      "places taken": `${gateway.taken} of ${gateway.places}`,
      "new sessions": refuses.length > 0 ? `refused: ${refuses.join(", ")} (${why.join(", ")})` : "let in",
      "sessions kept": store ? `${store.kind}, ${store.status}` : "",
      "requests to services": `${requests}, ${failed} failed`,
    };
    const pairs = Object.entries(facts).map(([name, value]) => {
      const pair = made("div");
      pair.append(made("dt", "", name), made("dd", "", value));
      return pair;
    });
    this.at("facts").replaceChildren(...pairs);
  }
}

function change(act, name, how, words, done, question = "") {
  return {
    name: words,
    label: `${words} ${name}`,
    danger: question !== "",
    done: () => act(done, `/admin/breakers/${encodeURIComponent(name)}/${how}`, "POST", question),
  };
}

const keyed = ({ key }) => key;

/** The entries, each with a key of its own, also where two look alike. */
function numbered(entries, keyed) {
  const seen = new Map();
  return entries.map((entry) => {
    const key = keyed(entry);
    seen.set(key, (seen.get(key) ?? 0) + 1);
    return { ...entry, key: `${key} ${seen.get(key)}` };
  });
}

function lasting(seconds) {
  const hours = Math.floor(seconds / HOUR_S);
  const minutes = Math.floor((seconds % HOUR_S) / 60);
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(seconds % 60)} s`;
}

const chip = (state) => [state.replace("_", "-"), state];
const state = (name, after) => (after > 0 ? [`${name}, ${after} s`, name] : chip(name));

const SESSION = [
  ["Session", ({ session_id: id }) => id],
  ["Over", ({ transport }) => transport],
  ["Kind", ({ kind }) => kind],
  ["Lasts", ({ seconds }) => lasting(seconds)],
  ["Turns", ({ turns }) => turns],
  ["Last wait", ({ voice_to_voice_ms: ms }) => (ms === null ? "–" : `${Math.round(ms)} ms`)],
  ["Steps down", ({ degraded, steps }) => {
    const now = Object.entries(steps).map(([stage, target]) => `${stage}: ${target}`);
    return [degraded, ...now].join(", ");
  }],
  ["Process", ({ worker }) => worker],
];

const BREAKER = [
  ["Breaker", ({ name }) => name],
  ["State", ({ state: name, retry_after_s: after }) => state(name, after)],
  ["Changes", ({ transitions }) => transitions],
];

const SERVICE = [
  ["Service", ({ name }) => name],
  ["Status", ({ status }) => chip(status)],
  ["Instances", ({ instances }) => instances.length],
];

const INSTANCE = [
  ["Instance", ({ protocol, host, port }) => `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`],
  ["Service", ({ service }) => service],
  ["Health", ({ health }) => chip(health)],
  ["Breaker", ({ circuit, retryAfterSeconds: after }) => state(circuit, after)],
  ["Weight", ({ weight }) => weight],
  ["Under way", ({ inFlight }) => inFlight],
  ["Calls", ({ calls }) => calls],
  ["Failed", ({ failures }) => failures],
  ["Probe", ({ latencyMs: ms }) => (ms === null ? "–" : `${ms} ms`)],
  ["Last error", ({ error }) => error ?? "–"],
];

const LIMIT = [
  ["Of", ({ policy }) => PLACES[policy] ?? policy],
  ["At most", ({ most, window_s: s }) => `${most} in ${s >= HOUR_S ? `${s / HOUR_S} h` : `${s} s`}`],
  ["Refused", ({ refused }) => refused],
];
