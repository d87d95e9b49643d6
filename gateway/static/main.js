// The page: what the buttons do, and who is told what the server says.

import { Call } from "./call.js";
import { Conversation } from "./conversation.js";
import { Face, faces } from "./face.js";
import { Microphone, RATE_HZ, microphones } from "./microphone.js";
import { Panel } from "./panel.js";
import { Speaker } from "./speaker.js";

const PLAYED_EVERY_MS = 200;
const FACTS_EVERY_MS = 500;
const FIRST_FACE = "mira";
const REPORT_TRIES = 6; // the session is let go a moment after the connection has closed

const MOODS = { idle: "", listening: "listening", thinking: "thinking", speaking: "speaking" };
const REASONS = {
  not_stored: "Your answer could not be stored; you will be asked for it again.",
  empty_text: "There is nothing in that answer.",
  text_too_long: "That answer is too long.",
  too_many_turns: "One moment: earlier answers are still being stored.",
};

const at = (id) => document.getElementById(id);

const conversation = new Conversation(at("turns"), at("caption"));
const panel = new Panel(at("panel"));

let call = null;
let speaker = null;
let microphone = null;
let face = null;
let muted = false;
let state = "idle"; // of the interviewer
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
    await listen();
    await begin(new FormData(at("setup")));
  } catch (error) {
    console.warn(error);
    failed("This browser cannot play the interviewer's voice.");
  }
});

at("mic-try").addEventListener("click", () => listen());
at("mic-choice").addEventListener("change", () => {
  if (microphone !== null || document.body.dataset.view === "live") listen();
});

// --- the microphone ------------------------------------------------------------------------------

/** Open the chosen microphone, or say in plain words why there is none. */
async function listen() {
  microphone?.close();
  microphone = null;
  level(0);
  try {
    const opened = await Microphone.open(at("mic-choice").value, heard);
    microphone = opened;
    opened.mute(muted);
    opened.onlost(() => {
      if (microphone === opened) lost("The microphone is gone. Choose another one, or type.");
    });
    notice("");
    at("mic-try").hidden = true;
    at("mute").disabled = false;
    await list(opened.deviceId);
  } catch (error) {
    lost(error.message);
    await list();
  }
}

function lost(words) {
  microphone?.close();
  microphone = null;
  level(0);
  notice(words);
  at("mic-try").hidden = false;
  at("mic-try").textContent = "Try again";
  at("mute").disabled = true;
}

async function list(chosen = at("mic-choice").value) {
  const found = await microphones();
  const choice = at("mic-choice");
  choice.replaceChildren(
    new Option("Default microphone", ""),
    ...found.filter(({ id }) => id !== "default").map(({ id, label }) => new Option(label, id)),
  );
  choice.value = [...choice.options].some(({ value }) => value === chosen) ? chosen : "";
}

function heard({ pcm, level: loudness }) {
  call?.sendAudio(pcm);
  level(loudness);
}

function level(loudness) {
  // -60 dB is quiet, 0 dB as loud as it gets
  const shown = Math.max(0, Math.min(1, 1 + Math.log10(Math.max(loudness, 1e-3)) / 3));
  at("mic-bar").style.transform = `scaleX(${shown.toFixed(3)})`;
  at("mic-level").value = shown;
  at("portrait").style.setProperty("--loud", shown.toFixed(3));
}

function notice(words) {
  at("mic-notice").textContent = words;
  at("mic-notice").hidden = words === "";
}

navigator.mediaDevices?.addEventListener("devicechange", () => list());

// --- the interview -------------------------------------------------------------------------------

async function begin(form) {
  conversation.restart();
  panel.restart();
  mood("thinking");
  const hello = {
    audio_in: { encoding: "pcm_s16le", rate: RATE_HZ, channels: 1 },
    audio_out: { encoding: "pcm_s16le", rate: speaker.rate },
    avatar: "visemes",
  };
  call = new Call({ state: line, message: take, audio: (buffer) => speaker?.push(buffer) });
  const wanted = { role: form.get("role"), questions: Number(form.get("questions")) };
  await call.start(wanted, hello);
}

/** How the connection is. */
function line(name, words) {
  at("line").dataset.state = name;
  at("line-words").textContent = words || { live: "Connected", ended: "Ended" }[name] || "";
  if (name === "live") {
    view("live");
    if (microphone === null) at("answer").focus();
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

/** A message of the server. */
function take(message) {
  switch (message.type) {
    case "ready":
      conversation.connected();
      speaker.clear();
      face?.forget();
      playing = null;
      progress(message.interview);
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
    case "reply.text":
      conversation.announced(message);
      break;
    case "visemes":
      conversation.timed(message);
      face?.cues(message);
      break;
    case "clear":
      speaker.clear();
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
      break;
    case "error":
      if (!message.fatal && message.code in REASONS) conversation.say(REASONS[message.code]);
      break;
  }
}

function mood(name) {
  state = name;
  at("portrait").dataset.state = name;
  at("mood").textContent = MOODS[name] || "\u00a0";
  at("interrupt").disabled = name !== "speaking" && name !== "thinking";
  face?.setState(name);
}

function progress({ currentQuestion, totalQuestions, isComplete }) {
  at("progress").textContent = isComplete
    ? "All questions answered"
    : `Question ${Math.max(1, currentQuestion)} of ${totalQuestions}`;
  at("progress-bar").max = totalQuestions;
  at("progress-bar").value = isComplete ? totalQuestions : Math.max(0, currentQuestion - 1);
}

setInterval(() => {
  const cursor = speaker?.cursor() ?? null;
  if (cursor === null || playing !== cursor.turn) return;
  call?.send({ type: "played", turn: cursor.turn, ms: Math.floor(cursor.ms) });
}, PLAYED_EVERY_MS);

requestAnimationFrame(function captions() {
  conversation.playing(speaker?.cursor() ?? null);
  requestAnimationFrame(captions);
});

setInterval(() => {
  if (call === null) return;
  const facts = { transport: "WebSocket, PCM16 16 kHz up, 24 kHz down" };
  if (call.roundTripMs !== null) facts["round trip"] = `${call.roundTripMs} ms`;
  if (speaker !== null) {
    facts["ahead in this browser"] = `${speaker.queuedMs} ms`;
    facts.underruns = `${speaker.underruns}`;
  }
  if (call.session !== null) facts.session = call.session;
  panel.facts(facts);
}, FACTS_EVERY_MS);

// --- what the person does ------------------------------------------------------------------------

at("mute").addEventListener("click", () => {
  muted = !muted;
  microphone?.mute(muted);
  at("mute").setAttribute("aria-pressed", String(muted));
  at("mute").querySelector("span").textContent = muted ? "Unmute" : "Mute";
});

function interrupt() {
  if (document.body.dataset.view !== "live" || at("interrupt").disabled) return;
  speaker?.clear();
  call?.send({ type: "interrupt" });
}

at("interrupt").addEventListener("click", interrupt);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") interrupt();
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
  const { session } = call;
  const played = speaker?.drained();
  view("ended");
  conversation.say("Thank you for the conversation.");
  at("report").hidden = true;
  at("after-words").textContent = words || "One moment, the report is being made…";
  at("after-title").textContent = words ? "The interview broke off." : "That was the interview.";
  await played;
  rest();
  await report(session, words);
}

/** Release the microphone and the loudspeaker. */
function rest() {
  microphone?.close();
  microphone = null;
  speaker?.close();
  speaker = null;
  level(0);
  mood("idle");
  playing = null;
  at("mic-try").hidden = false;
  at("mic-try").textContent = "Try it";
  at("start").disabled = false;
  at("end").disabled = false;
}

async function report(session, words) {
  const path = `/api/sessions/${session}`;
  let said = "There is no report this time.";
  for (let i = 0; i < REPORT_TRIES; i += 1) {
    const answer = await fetch(`${path}/end`, { method: "POST" }).catch(() => null);
    const body = (await answer?.json().catch(() => null)) ?? {};
    if (body.report?.answered === 0 || body.code === "not_started") {
      said = "No question was answered, so there is no report.";
      break;
    }
    if (answer?.ok) {
      at("report").href = `${path}/report?format=html`;
      at("report").hidden = false;
      said = body.summary?.text ?? "";
      break;
    }
    if (body.code !== "session_live") break;
    await new Promise((resolve) => setTimeout(resolve, 400 * (i + 1)));
  }
  at("after-words").textContent = `${words} ${said}`.trim();
  if (!at("report").hidden) at("report").focus();
}

function view(name) {
  document.body.dataset.view = name;
}

// --- at the start --------------------------------------------------------------------------------

async function draw() {
  const found = await faces();
  for (const { id, name } of found) {
    const radio = Object.assign(document.createElement("input"), { type: "radio", value: id });
    radio.name = "face";
    radio.addEventListener("change", () => show(id));
    const label = document.createElement("label");
    const words = document.createElement("span");
    words.textContent = name;
    label.append(radio, words);
    at("faces").append(label);
  }
  if (found.length === 0) return;
  at("faces").hidden = found.length < 2;
  const { id } = found.find((one) => one.id === FIRST_FACE) ?? found[0];
  at("faces").querySelector(`[value="${CSS.escape(id)}"]`).checked = true;
  await show(id);
}

async function show(id) {
  const drawn = await Face.load(at("face"), id, () => speaker?.cursor() ?? null);
  face?.close();
  face = drawn;
  face.setState(state);
}

view("setup");
list();
draw().catch((error) => console.warn(error));
document.addEventListener("visibilitychange", () => {
  // A phone call, for one, suspends a page's sound and does not give it back.
  if (!document.hidden) speaker?.context.resume();
});
navigator.permissions
  ?.query({ name: "microphone" })
  .then(({ state: permission }) => {
    if (permission === "denied") notice("This page may not use the microphone; you can type.");
  })
  .catch(() => {}); // Firefox does not know this permission

/** For tests, and for the curious at the console. */
globalThis.parley = {
  get speaker() {
    return speaker;
  },
  get face() {
    return face;
  },
  get call() {
    return call;
  },
};
