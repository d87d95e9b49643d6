// For the operator: break a stage for a while, and watch what takes its place.

import { gateway } from "./access.js";
import { made } from "./made.js";

const SECONDS = 20;
const SLOTS = ["stt", "llm", "tts", "avatar"];
const FAULTS = { hang: "hangs", error: "fails", slow: "is slow" };
const REFUSALS = {
  admin_off: "The operator has not allowed it: this server has no PARLEY_ADMIN_KEY.",
  admin_key_required: "That is not the operator's key.",
  drills_off: "The operator has not allowed it: the server needs PARLEY_DRILLS=allowed.",
};
const SILENT = "The server does not answer.";

export class Drills {
  /** `told(words)` says what was done; `changed()` is called after it. */
  constructor(at, { told, changed }) {
    this.at = at;
    this.told = told;
    this.changed = changed;
    this.key = "";
    this.drawn = ""; // which providers there are buttons for
    at("drill-key").addEventListener("submit", (event) => {
      event.preventDefault();
      this.key = at("admin-key").value.trim();
      this.#ask("GET", "/admin/breakers").then((found) => this.#show(found?.breakers ?? []));
    });
  }

  async #ask(method, path, body) {
    const headers = { authorization: `Bearer ${this.key}`, "content-type": "application/json" };
    const asked = { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) };
    const answer = await fetch(`${gateway.url}${path}`, asked).catch(() => null);
    const found = (await answer?.json().catch(() => ({}))) ?? {};
    const words = answer?.ok ? "" : (REFUSALS[found.code] ?? found.detail ?? found.title ?? SILENT);
    this.at("drill-words").textContent = words;
    return answer?.ok ? found : null;
  }

  /** Buttons for the providers that can be broken. */
  #show(breakers) {
    const rows = breakers
      .filter(({ slot }) => SLOTS.includes(slot))
      .map(({ name }) => {
        const row = made("div", "drill-row");
        row.append(made("span", "slot", name));
        for (const [fault, words] of Object.entries(FAULTS)) {
          const button = made("button", "quiet", words);
          button.type = "button";
          button.setAttribute("aria-label", `${name} ${words} for ${SECONDS} seconds`);
          button.addEventListener("click", () => this.#begin(name, fault));
          row.append(button);
        }
        return row;
      });
    this.at("drills").replaceChildren(...rows);
  }

  async #begin(stage, fault) {
    const begun = await this.#ask("POST", "/admin/drills", { stage, fault, seconds: SECONDS });
    if (begun === null) return;
    const words = `${stage} ${FAULTS[fault]} for ${SECONDS} s.`;
    this.at("drill-words").textContent = words;
    this.told({ type: "drill", stage, fault, seconds: SECONDS });
    this.changed();
  }
}
