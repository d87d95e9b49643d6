// What this browser keeps of an interview that is under way, so that a page that is loaded again, or
// opened again later, finds it: which session, what was chosen, and what was typed and not accepted.
// A tab has its own; the latest of all tabs is kept for a tab that has none.

const KEY = "parley.interview";

const OPTIONS = "parley.options";

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

/** Before the interview: the offer to go on with one that was left. */
export class Offer {
  /** `go()` and `forget()` are what the person chooses. */
  constructor(at, { go, forget }) {
    this.at = at;
    this.session = null; // of which the words tell
    at("offer-go").addEventListener("click", go);
    at("offer-forget").addEventListener("click", () => {
      forget();
      this.shown(false);
      at("start").focus();
    });
  }

  /** What the server has stored of the session, undefined where that is not known. */
  describe(session, found) {
    this.shown(true);
    if (found === undefined && session === this.session) return;
    this.session = session;
    const role = found ? ` for ${found.role}` : "";
    const asked = found?.interview?.currentQuestion ?? 0;
    const reached = asked > 0 ? `, at question ${asked} of ${found.totalQuestions}` : "";
    this.at("offer-words").textContent = `You have an interview${role} that is not over${reached}.`;
  }

  shown(wanted) {
    this.at("offer").hidden = !wanted;
  }
}

/** What is chosen for the interview: what is `wanted` of it, and how this page holds it. */
export function choice({ elements: field }) {
  return {
    wanted: {
      role: field.role.value,
      questions: Number(field.questions.value),
      language: field.language.value || undefined,
    },
    chosen: {
      way: field.way.value,
      video: field.picture.value === "server",
      face: field.face?.value ?? "",
    },
  };
}

/** What people choose once and want to find again, and nowhere else than in this browser.
 *
 * Fill the fields of a form that are called like this with what was chosen last, and keep up. */
export function remembered(form, names) {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(OPTIONS)) ?? {};
  } catch {} // no storage, or something else in it
  for (const name of names) {
    const field = form.elements[name];
    const value = kept[name];
    if (field.type === "checkbox") field.checked = value ?? field.checked;
    else if ([...field.options].some((option) => option.value === value)) field.value = value;
  }
  form.addEventListener("change", () => {
    const chosen = names.map((name) => {
      const field = form.elements[name];
      return [name, field.type === "checkbox" ? field.checked : field.value];
    });
    try {
      localStorage.setItem(OPTIONS, JSON.stringify(Object.fromEntries(chosen)));
    } catch {}
  });
}

/** How many questions are chosen, and about how long they take, in words beside the slider. */
export function counted(slider, words, minutes) {
  slider.addEventListener("input", () => {
    const count = Number(slider.value);
    words.textContent = count;
    minutes.textContent = `about ${count * 2} minutes`;
  });
}
