// The page: what the buttons do, and who is told what the server says.

import { ask } from "./access.js";
import { Call, SILENT, reachable } from "./call.js";
import { Conversation } from "./conversation.js";
import { Gallery } from "./gallery.js";
import { RATE_HZ } from "./microphone.js";
import { remembered } from "./options.js";
import { Panel } from "./panel.js";
import { Picker } from "./picker.js";
import { Picture } from "./picture.js";
import { report } from "./report.js";
import { Speaker } from "./speaker.js";
import { EitherTransport, WebSocketTransport } from "./transport.js";
import { WebRtcTransport } from "./webrtc.js";

const PLAYED_EVERY_MS = 200;
const FACTS_EVERY_MS = 500;

const WAYS = { webrtc: WebRtcTransport, websocket: WebSocketTransport };
const NAMES = { webrtc: "WebRTC", websocket: "WebSocket" };
const CARRIES = { webrtc: "Opus both ways", websocket: "PCM16, 16 kHz up, 24 kHz down" };
const PICTURES = { video: "video from the server", frames: "pictures from the server" };
const MOODS = { idle: "", listening: "listening", thinking: "thinking", speaking: "speaking" };
const MUTE = "This browser cannot play the interviewer's voice.";
const WAITS = "You are not connected. What you typed waits here until you are.";
const VOICELESS = "The voice has failed. Please read what is asked.";
const REASONS = {
  not_stored: "Your answer could not be stored; you will be asked for it again.",
  empty_text: "There is nothing in that answer.",
  text_too_long: "That answer is too long.",
  too_many_turns: "One moment: earlier answers are still being stored.",
};

const at = (id) => document.getElementById(id);
const chosen = (name) => at("setup").elements[name];

const conversation = new Conversation(at("turns"), at("caption"), (text) => {
  if (chosen("announce").checked) announce(text);
});
const panel = new Panel(at("panel"));
const picker = new Picker(at, {
  changed: (track) => call?.microphone(track),
  heard: (pcm) => call?.sendAudio(pcm),
});
const cursor = () => speaker?.cursor() ?? null;
const gallery = new Gallery(at("face"), at("faces"), cursor);
const picture = new Picture(at("portrait"), at("video"), at("frames"), cursor);

let call = null;
let speaker = null;
let playing = null; // the reply that is acknowledged

// --- before the interview ------------------------------------------------------------------------

at("questions").addEventListener("input", () => {
  const count = Number(at("questions").value);
  at("questions-shown").textContent = count;
  at("minutes").textContent = `about ${count * 2} minutes`;
});

at("setup").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("start").disabled = true;
  at("setup-notice").textContent = "";
  try {
    speaker = await Speaker.open();
    await picker.open();
    await begin();
  } catch (error) {
    console.warn(error);
    failed((await reachable()) ? MUTE : SILENT); // some of that is loaded only now
  }
});

// --- the interview -------------------------------------------------------------------------------

async function begin() {
  conversation.restart();
  panel.restart();
  mood("thinking");
  const video = chosen("picture").value === "server";
  const hello = {
    audio_in: { encoding: "pcm_s16le", rate: RATE_HZ, channels: 1 },
    audio_out: { encoding: "pcm_s16le", rate: speaker.rate },
    avatar: video ? "frames" : "visemes",
  };
  if (chosen("face")?.value) hello.face = chosen("face").value;
  const way = chosen("way").value;
  const handlers = { state: line, message: take, audio: (buffer) => speaker?.push(buffer), track, locked };
  call = new Call(handlers, { makeTransport: (id) => transport(id, way, video) });
  const language = chosen("language").value;
  const wanted = { role: chosen("role").value, questions: Number(chosen("questions").value), language };
  await call.start(wanted, hello);
}

function transport(id, way, video) {
  // What did not come up at the start of a call is not tried again in it.
  const why = call.hadWebRtc ? "" : call.transport?.why;
  const Transport = WAYS[way] ?? (why ? WebSocketTransport : EitherTransport);
  return Object.assign(new Transport(id, { microphone: picker.track, video }), why ? { why } : {});
}

/** What comes over WebRTC; null when that is over. */
function track(media, receiver) {
  if (media?.kind !== "video") speaker?.listen(media, receiver).catch((error) => console.warn(error));
  if (media?.kind !== "audio") picture.play(media);
}

/** The server wants a ticket or a key. */
function locked() {
  ask(at("access"));
}

/** How the connection is. */
function line(name, words) {
  at("line").dataset.state = name;
  at("start").textContent = name === "connecting" ? "Connecting…" : "Start interview";
  at("line-words").textContent = words || { live: connected(), ended: "Ended" }[name] || "";
  if (name === "live") {
    call.hadWebRtc ||= call.transport.kind === "webrtc";
    if (live()) return; // whoever types goes on typing
    view("live");
    if (picker.track === null) at("answer").focus();
    else at("conversation").focus({ preventScroll: true });
  } else if (name === "reconnecting") {
    speaker?.clear();
    mood("idle");
    conversation.say(words);
  } else if (name === "failed" && !call?.joined) {
    failed(words);
  } else if (name === "failed" || name === "ended") {
    over(words);
  }
}

function connected() {
  const { kind, why } = call.transport;
  return `Connected over ${NAMES[kind]}${why ? `, because ${why}` : ""}`;
}

/** A message of the server. */
function take(message) {
  switch (message.type) {
    case "ready":
      conversation.connected();
      speaker.clear();
      gallery.face?.forget();
      picture.forget();
      playing = null;
      progress(message.interview);
      at("turns").lang = message.language === "de" ? "de" : "en"; // for screen readers
      for (const notice of message.notices ?? []) say(notice.message);
      break;
    case "interview":
      progress(message);
      break;
    case "speech.started":
      conversation.speaking(message.turn);
      break;
    case "transcript":
      conversation.transcript(message);
      break;
    case "reply.started":
      playing = message.turn;
      speaker.begin(message.turn);
      break;
    case "reply.audio":
      speaker.anchor(message);
      break;
    case "reply.text":
      conversation.announced(message);
      break;
    case "visemes":
      conversation.timed(message);
      gallery.face?.cues(message);
      break;
    case "avatar.frame":
      picture.frame(message);
      break;
    case "clear":
      speaker.clear();
      picture.clear();
      break;
    case "reply.paused":
      break; // `clear` came before it
    case "reply.resumed":
      playing = message.turn;
      speaker.begin(message.turn, message.at_ms);
      break;
    case "reply.done":
      if (playing === message.turn) playing = null;
      if (message.interrupted) speaker.clear();
      else speaker.finish(message.turn);
      conversation.done(message);
      break;
    case "avatar.state":
      mood(message.state);
      break;
    case "turn.metrics":
      panel.turn(message);
      break;
    case "degraded":
      panel.degraded(message);
      if (message.stage === "avatar") picture.degraded(message);
      if (message.stage === "tts" && message.to === "text") say(VOICELESS);
      break;
    case "error":
      if (!message.fatal && message.code in REASONS) say(REASONS[message.code]);
      break;
  }
}

function mood(name) {
  at("portrait").dataset.state = name;
  at("mood").textContent = MOODS[name] || "\u00a0";
  at("interrupt").disabled = name !== "speaking" && name !== "thinking";
  gallery.state(name);
}

function progress({ currentQuestion, totalQuestions, isComplete }) {
  at("progress").textContent = isComplete
    ? "All questions answered"
    : `Question ${Math.max(1, currentQuestion)} of ${totalQuestions}`;
  at("progress-bar").max = totalQuestions;
  at("progress-bar").value = isComplete ? totalQuestions : Math.max(0, currentQuestion - 1);
}

/** Under the face, and to who does not see it. */
function say(words) {
  conversation.say(words);
  announce(words);
}

function announce(words) {
  at("announced").textContent = words;
}

setInterval(() => {
  const now = cursor();
  if (now === null || playing !== now.turn) return;
  call?.send({ type: "played", turn: now.turn, ms: Math.floor(now.ms) });
}, PLAYED_EVERY_MS);

requestAnimationFrame(function captions() {
  conversation.playing(cursor());
  requestAnimationFrame(captions);
});

setInterval(async () => {
  if (call === null || call.over) return;
  const { transport } = call;
  if (transport?.kind) panel.facts(await facts(transport));
}, FACTS_EVERY_MS);

async function facts(transport) {
  const found = { transport: `${NAMES[transport.kind]}, ${CARRIES[transport.kind]}` };
  if (transport.why) found["not WebRTC"] = transport.why;
  found.face = PICTURES[picture.how] ?? "drawn in this browser";
  if (call.roundTripMs !== null) found["round trip"] = `${call.roundTripMs} ms`;
  Object.assign(found, await transport.measured());
  if (speaker !== null && transport.kind === "websocket") {
    found["waiting to be played"] = `${speaker.queuedMs} ms`;
    found.underruns = `${speaker.underruns}`;
  }
  if (call.session !== null) found.session = call.session;
  return found;
}

// --- what the person does ------------------------------------------------------------------------

function live() {
  return document.body.dataset.view === "live";
}

function mute() {
  picker.mute(!picker.muted);
  at("mute").setAttribute("aria-pressed", String(picker.muted));
}

function interrupt() {
  if (!live() || at("interrupt").disabled) return;
  speaker?.clear();
  picture.clear();
  call?.send({ type: "interrupt" });
}

at("mute").addEventListener("click", mute);
at("interrupt").addEventListener("click", interrupt);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") interrupt();
  // On a button it presses, in a field it is a space, on a list it scrolls: that stays so.
  const free = event.target === document.body || event.target === at("conversation");
  if (event.key === " " && free && live() && !at("mute").disabled) {
    event.preventDefault();
    if (!event.repeat) mute();
  }
});

// The browser asks whether to leave: a page that is loaded again does not find its interview.
addEventListener("beforeunload", (event) => {
  if (live()) event.preventDefault();
});

at("end").addEventListener("click", () => {
  at("end").disabled = true;
  speaker?.clear();
  call?.hangUp();
});

at("typed").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = at("answer").value.trim();
  if (text === "") return;
  if (at("line").dataset.state !== "live") return say(WAITS);
  conversation.typed(text);
  call?.send({ type: "text", text });
  at("answer").value = "";
});

at("answer").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("typed").requestSubmit();
  }
});

at("again").addEventListener("click", () => {
  view("setup");
  at("start").focus();
});

// --- the end -------------------------------------------------------------------------------------

function failed(words) {
  rest();
  at("line").dataset.state = "failed";
  at("line-words").textContent = "Not connected";
  at("setup-notice").textContent = words;
  view("setup");
}

async function over(words) {
  const ended = call;
  const played = speaker?.drained();
  view("ended");
  at("turns").scrollTop = at("turns").scrollHeight; // there is less room now
  conversation.say(words || "Thank you for the conversation.");
  at("report").hidden = true;
  at("after-words").textContent = words || "One moment, the report is being made…";
  at("after-title").textContent = words ? "The interview broke off." : "That was the interview.";
  await played;
  rest();
  const made = await report(ended.session);
  if (call !== ended) return; // there is another one by now
  at("after-words").textContent = `${words} ${made.words}`.trim();
  if (made.link === null) return;
  at("report").href = made.link;
  at("report").hidden = false;
  at("report").focus();
}

/** Release the microphone and the loudspeaker. */
function rest() {
  picker.release();
  picture.play(null);
  speaker?.close();
  speaker = null;
  mood("idle");
  playing = null;
  at("start").disabled = false;
  at("end").disabled = false;
}

function view(name) {
  if (document.body.dataset.view !== name) scrollTo({ top: 0 });
  document.body.dataset.view = name;
}

// --- at the start --------------------------------------------------------------------------------

view("setup");
remembered(at("setup"), ["way", "language", "picture", "announce"]);
gallery.hang().catch((error) => console.warn(error));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) speaker?.resume();
});

/** For tests, and for the curious at the console. */
globalThis.parley = {
  picker,
  picture,
  get speaker() {
    return speaker;
  },
  get face() {
    return gallery.face;
  },
  get call() {
    return call;
  },
};
