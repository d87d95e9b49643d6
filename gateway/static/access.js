// What shows the server that this page may use it, where the server wants that: a ticket or a key, from
// behind the # of the page's address or typed, and then the pass for the session that was made with it.

import { Gateway } from "./client/index.js";

const KEPT = "parley-pass";

/** The server that this page comes from, which may be below a path of another host; a page that is
 * loaded again still has its pass. */
export const gateway = new Gateway(new URL("..", import.meta.url).href, { ticket: taken(), pass: read() });

/** The ticket or key in the address, which is left out of it: nobody reads or copies it there. */
function taken() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = given.get("ticket") ?? given.get("key");
  if (found === null) return "";
  history.replaceState(null, "", location.pathname + location.search);
  return found.trim();
}

/** Keep the pass for the session that was made. */
export function keep() {
  try {
    sessionStorage.setItem(KEPT, gateway.pass);
  } catch {} // it is forbidden
}

function read() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

/** Ask for a ticket or a key, in a part of the page that is hidden while none is wanted. */
export function ask(part) {
  const input = part.querySelector("input");
  part.hidden = false;
  input.value = "";
  input.oninput = () => {
    gateway.ticket = input.value.trim();
  };
  input.focus();
}
