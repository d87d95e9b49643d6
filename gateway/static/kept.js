// What this browser keeps of an interview that is under way, so that a page that is loaded again, or
// opened again later, finds it: which session, what was chosen, and what was typed and not accepted.
// A tab has its own; the latest of all tabs is kept for a tab that has none.

const KEY = "parley.interview";

export class Kept {
  constructor() {
    const own = read("sessionStorage");
    this.here = own !== null; // this very tab was in it
    this.value = own ?? read("localStorage");
    this.held = null; // the session that this tab holds
    this.letGo = () => {};
  }

  /** `{session, chosen, unsent, draft}` of the interview under way, null without one. */
  get interview() {
    return this.value;
  }

  begin(session, chosen) {
    this.value = { session, chosen, unsent: [], draft: "" };
    this.#write();
  }

  change(values) {
    if (this.value === null) return;
    Object.assign(this.value, values);
    this.#write();
  }

  forget() {
    if (read("localStorage")?.session === this.value?.session) write("localStorage", null);
    write("sessionStorage", null);
    this.value = null;
    this.here = false;
    this.held = null;
    this.letGo();
  }

  /** Hold the interview for this tab until it is let go: false where another tab holds it. */
  hold(session) {
    if (this.held === session) return Promise.resolve(true);
    this.letGo();
    this.held = session;
    if (!navigator.locks) return Promise.resolve(true); // over plain HTTP there are none
    return new Promise((resolve) => {
      const held = (lock) => {
        if (lock === null) this.held = null;
        resolve(lock !== null);
        return lock && new Promise((letGo) => Object.assign(this, { letGo }));
      };
      const asked = navigator.locks.request(`${KEY}.${session}`, { ifAvailable: true }, held);
      asked.catch(() => resolve(true));
    });
  }

  #write() {
    write("sessionStorage", this.value);
    write("localStorage", this.value);
  }
}

// A storage that is forbidden throws as soon as it is named, so its name is passed.
function read(storage) {
  try {
    const value = JSON.parse(window[storage].getItem(KEY));
    return typeof value?.session === "string" ? value : null;
  } catch {
    return null; // no storage, or something else in it
  }
}

function write(storage, value) {
  try {
    if (value === null) window[storage].removeItem(KEY);
    else window[storage].setItem(KEY, JSON.stringify(value));
  } catch {} // it is full, or forbidden
}
