// Which face the interviewer has: the choice before the interview, and the one that is drawn. It is
// part of the page (gateway/rest/static.py), and lives as soon as this is there.

import { CLOSED } from "./client/timeline.js";
import { Face, faces } from "./face.js";

export class Gallery {
  /** Draws in `host`; the choice goes to `list`, invisible where there is nothing to choose. */
  constructor(host, list) {
    this.host = host;
    this.list = list;
    this.mouth = () => CLOSED; // the interview's, once there is one
    this.face = null;
    this.wanted = null;
    this.mood = "idle";
  }

  /** Show the faces that the server has, and bring the first one, which is drawn already, to life. */
  hang() {
    const { faces: found, manifest } = faces();
    for (const { id, name } of found) this.list.append(this.#choice(id, name));
    this.list.classList.toggle("one", found.length < 2);
    if (found.length === 0) return;
    this.list.querySelector("input").checked = true;
    this.#draw(manifest, null);
  }

  #choice(id, name) {
    const radio = Object.assign(document.createElement("input"), { type: "radio", value: id });
    radio.name = "face";
    radio.setAttribute("form", "setup");
    radio.addEventListener("change", () => this.#show(id).catch((error) => console.warn(error)));
    const label = document.createElement("label");
    const words = document.createElement("span");
    words.textContent = name;
    label.append(radio, words);
    return label;
  }

  async #show(id) {
    this.wanted = id;
    const drawing = await Face.read(id);
    if (this.wanted === id) this.#draw(...drawing); // else another one was chosen meanwhile
  }

  #draw(manifest, text) {
    const drawn = new Face(this.host, manifest, text, (now) => this.mouth(now));
    this.face?.close();
    this.face = drawn;
    drawn.setState(this.mood);
  }

  /** `avatar.state` of the server. */
  state(mood) {
    this.mood = mood;
    this.face?.setState(mood);
  }
}

export const gallery = new Gallery(document.querySelector("#face"), document.querySelector("#faces"));
gallery.hang();
