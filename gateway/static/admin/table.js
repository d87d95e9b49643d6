// A table that is shown again and again: rows that stay are changed and not replaced, so that who
// stands on a button of one goes on standing there.

import { made } from "../made.js";

export class Table {
  /** In `host`, below a caption for who does not see it. `columns` are `[title, (entry) => words or an
   * element]`, the first of which names the row; `acts(entry)` are the buttons of a row, as
   * `{name, label, done}`. `empty` stands where there is no entry. */
  constructor(host, columns, { caption, acts = null, empty }) {
    this.host = host;
    this.columns = columns;
    this.acts = acts;
    this.rows = new Map(); // by key: {row, cells, told, entry}
    this.empty = made("p", "empty", empty);
    this.table = made("table");
    const head = made("tr");
    const titles = [...columns.map(([title]) => title), ...(acts ? ["Control"] : [])];
    for (const title of titles) {
      const cell = made("th", "", title);
      cell.scope = "col";
      head.append(cell);
    }
    this.body = made("tbody");
    const top = made("thead");
    top.append(head);
    this.table.append(made("caption", "visually-hidden", caption), top, this.body);
  }

  /** These entries, each with the key that `keyed` finds; the keys are different ones. */
  show(entries, keyed) {
    const wanted = new Set(entries.map(keyed));
    for (const [key, { row }] of this.rows) {
      if (wanted.has(key)) continue;
      if (row.contains(document.activeElement)) this.host.focus(); // nowhere else to stand
      row.remove();
      this.rows.delete(key);
    }
    let before = null;
    for (const entry of entries) {
      const shown = this.rows.get(keyed(entry)) ?? this.#added(keyed(entry), entry);
      shown.entry = entry;
      this.#fill(shown);
      // Moving an element takes the focus from it: only what stands elsewhere is moved.
      const place = before === null ? this.body.firstChild : before.nextSibling;
      if (shown.row !== place) this.body.insertBefore(shown.row, place);
      before = shown.row;
    }
    const whole = entries.length === 0 ? this.empty : this.table;
    if (!this.host.contains(whole)) this.host.replaceChildren(whole);
  }

  /** Nothing of it is left. */
  clear() {
    this.rows.clear();
    this.body.replaceChildren();
    this.host.replaceChildren();
  }

  #added(key, entry) {
    const row = made("tr");
    const cells = this.columns.map((_, i) => {
      const cell = made(i === 0 ? "th" : "td");
      if (i === 0) cell.scope = "row";
      return cell;
    });
    row.append(...cells);
    const shown = { row, cells, told: [], entry };
    if (this.acts !== null) row.append(this.#buttons(shown));
    this.rows.set(key, shown);
    return shown;
  }

  #buttons(shown) {
    const cell = made("td", "acts");
    const buttons = made("div");
    for (const { name, label, done, danger } of this.acts(shown.entry)) {
      const button = made("button", danger ? "quiet danger" : "quiet", name);
      button.type = "button";
      button.setAttribute("aria-label", label);
      button.addEventListener("click", () => done(shown.entry));
      buttons.append(button);
    }
    cell.append(buttons);
    return cell;
  }

  #fill({ cells, told, entry }) {
    this.columns.forEach(([, look], i) => {
      const found = look(entry);
      const [words, kind] = Array.isArray(found) ? found : [found, null];
      const now = `${kind ?? ""} ${words}`;
      if (told[i] === now) return;
      told[i] = now;
      cells[i].replaceChildren(kind === null ? `${words}` : made("span", `chip ${kind}`, words));
    });
  }
}
