// @parley/client: spoken interviews with a Parley gateway, in a browser.

export { CallError, Gateway, LineLost, Refused, SILENT, TAKEN } from "./gateway.js";
export { Interview } from "./interview.js";
export { Microphone, NoMicrophone, devices } from "./microphone.js";
export { audible, choosable } from "./speaker.js";
