// The page: what the buttons do, and who is told what the server says.

import { SILENT, ask, reachable } from "./access.js";
import { AnswerField, Controls } from "./controls.js";
import { Conversation, progress } from "./conversation.js";
import { Device, Notice } from "./device.js";
import { Ending, report } from "./ending.js";
import { Interviewer } from "./interviewer.js";
import { Kept, Offer, TAKEN, choice, counted, remembered } from "./kept.js";
import { RATE_HZ } from "./client/microphone.js";
import { Picker } from "./picker.js";
import { audible, latency } from "./client/speaker.js";
import { stored, transcript } from "./stored.js";

const FACTS_EVERY_MS = 500;
const BACK_MS = 4000; // how long it is said that the line is there again

const MUTE = "This browser cannot play the interviewer's voice.";
const WAITS = "You are not connected. What you typed waits here until you are.";
const VOICELESS = "The voice has failed. Please read what is asked.";
const QUIET_LINE = "The line is silent";
const MUTED = "You are muted";
const TYPE = "Your turn: type your answer";
const WAITING = "Your interview waits";
const THERE = "There you are again.";
const COMING = "Coming back to your interview…";
const BACK = "Back in your interview";
const REASONS = {
  not_stored: "Your answer could not be stored; you will be asked for it again.",
  empty_text: "There is nothing in that answer.",
  text_too_long: "That answer is too long.",
  too_many_turns: "One moment: earlier answers are still being stored.",
};

const at = (id) => document.getElementById(id);

const kept = new Kept();
const device = new Device(new Notice(at("mic-notice")));
const conversation = new Conversation(at("turns"), at("caption"), {
  announced: (text) => at("setup").elements.announce.checked && announce(text, conversation.language),
  unsent: (unsent) => kept.change({ unsent }),
});
const ending = new Ending(at);
const picker = new Picker(at, device, {
  changed: (track) => call?.microphone(track),
  heard: (sound, context) => {
    session?.panel.latency.heard(sound, context);
    call?.sendAudio(sound.pcm);
  },
  output: (id) => interviewer.use(id),
});
const interviewer = new Interviewer(at, conversation, {
  played: (turn, ms) => call?.send({ type: "played", turn, ms }),
  sounded: (report, context) => session?.panel.latency.sounded(report, context, latency(context)),
  aside,
});

let session = null; // what is loaded for an interview: the line, and the panel for engineers
let call = null;
let entering = false; // the devices are being opened
let lost = ""; // how the line was lost that is not there again: "silent", or "dropped"
let settling = false; // it is being found out what has arrived

/** Load what only an interview needs, or who looks under the hood. */
async function load() {
  const [line, transports, facts, { Panel }] = await Promise.all(
    ["client/call", "client/transport", "facts", "panel"].map((name) => import(`./${name}.js`)),
  );
  session ??= { ...line, ...transports, ...facts, panel: new Panel(at("panel")) };
}

at("panel").addEventListener("toggle", () => load().catch((error) => console.warn(error)), { once: true });

/** What is more to the point than what the interviewer does. */
function aside(mood) {
  if (["silent", "reconnecting"].includes(at("line").dataset.state)) return QUIET_LINE;
  if (mood === "speaking" || mood === "thinking") return "";
  if (picker.track === null) return mood === "idle" ? TYPE : "";
  return picker.muted ? MUTED : "";
}

// --- before the interview ------------------------------------------------------------------------

at("setup").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(begin);
});

const offer = new Offer(at, { go: () => enter(goOn), forget: () => kept.forget() });

/** Open the devices, and begin an interview or go on with one. */
async function enter(interview) {
  if (entering || interviewer.speaker !== null) return;
  entering = true;
  at("start").disabled = at("offer-go").disabled = at("go-on").disabled = true;
  at("setup-notice").textContent = "";
  try {
    // The sound first: in some browsers a click allows it for a moment only.
    await interviewer.open((context) => device.watch(context));
    await Promise.all([load(), picker.open()]);
    await interview();
  } catch (error) {
    console.warn(error);
    failed((await reachable()) ? MUTE : SILENT); // some of that is loaded only now
  } finally {
    entering = false;
  }
}

// --- the interview -------------------------------------------------------------------------------

async function begin() {
  const { wanted, chosen } = choice(at("setup"));
  await prepared(chosen).start(wanted, hello(chosen));
}

/** Go on with the interview that this browser keeps. */
async function goOn() {
  const { session: id, chosen, unsent, draft } = kept.interview;
  if (!(await kept.hold(id))) return failed(TAKEN);
  const lines = await transcript(id);
  const mine = prepared(chosen);
  lost = "dropped";
  conversation.restore(lines ?? [], unsent);
  conversation.say(COMING);
  answer.give(draft);
  view("live");
  mine.join(id, hello(chosen));
}

/** A new call, and a page with nothing of another one. */
function prepared(chosen) {
  conversation.restart();
  session.panel.restart();
  interviewer.mood.set("thinking");
  const handlers = {
    state: line,
    message: take,
    sent: (message) => session.panel.log.add("page", message),
    audio: (buffer) => interviewer.audio(buffer),
    track: (media, receiver) => interviewer.track(media, receiver),
    locked: () => ask(at("access")),
  };
  call = new session.Call(handlers, { makeTransport: (id) => transport(id, chosen.way, chosen.video) });
  call.chosen = chosen;
  return call;
}

function hello({ video, face }) {
  return {
    audio_in: { encoding: "pcm_s16le", rate: RATE_HZ, channels: 1 },
    audio_out: { encoding: "pcm_s16le", rate: interviewer.speaker.rate },
    avatar: video ? "frames" : "visemes",
    ...(face ? { face } : {}),
  };
}

function transport(id, way, video) {
  // What did not come up at the start of a call is not tried again in it.
  const why = call.hadWebRtc ? "" : (call.transport?.why ?? "");
  return session.transportFor(way, why, id, { microphone: picker.track, video });
}

/** How the connection is. */
function line(name, words) {
  session.panel.log.add("page", { type: "line", state: name, words });
  at("line").dataset.state = name;
  at("start").textContent = name === "connecting" ? "Connecting…" : "Start interview";
  at("line-words").textContent = words || { live: connected(), ended: "Ended" }[name] || "";
  if (name === "live") {
    call.hadWebRtc ||= call.transport.kind === "webrtc";
    if (lost) cameBack();
    device.awake(true);
    if (live()) return; // whoever types goes on typing
    view("live");
    if (picker.track === null) answer.focus();
    else at("conversation").focus({ preventScroll: true });
  } else if (name === "silent" || name === "reconnecting") {
    lost = name === "silent" ? name : "dropped";
    conversation.lost(true);
    conversation.say(words);
    if (name === "silent") return;
    interviewer.silence();
    interviewer.mood.set("idle");
  } else if (name === "failed" && !call?.joined) {
    failed(words);
  } else if (name === "failed" || name === "ended") {
    over(call.session, words, name === "failed");
  }
}

function cameBack() {
  const how = lost;
  lost = "";
  say(BACK);
  at("line-words").textContent = BACK;
  setTimeout(() => {
    if (at("line").dataset.state === "live") at("line-words").textContent = connected();
  }, BACK_MS);
  if (how === "dropped") settle();
  else conversation.lost(false); // what was sent meanwhile is on its way
}

/** Send again what was typed and has not arrived; the server's transcript shows what has. */
async function settle() {
  if (!conversation.waits || settling) return;
  settling = true;
  const asked = call;
  const gone = () => call !== asked || asked.over || lost !== "";
  let lines;
  // What has arrived must not be said twice: nothing is sent before that is known.
  while (lines === undefined && !gone()) lines = await transcript(asked.session);
  settling = false;
  if (gone()) return; // it is asked again when the line is back
  for (const text of conversation.arrived(lines)) call.send({ type: "text", text });
}

function connected() {
  const { kind, why } = call.transport;
  return `Connected over ${session.NAMES[kind]}${why ? `, because ${why}` : ""}`;
}

/** A message of the server. */
function take(message) {
  session.panel.take(message);
  switch (message.type) {
    case "ready":
      if (kept.interview?.session !== call.session) kept.begin(call.session, call.chosen);
      kept.hold(call.session);
      if (!message.resumed?.kept) {
        conversation.connected();
        interviewer.connected();
      }
      progress(at("progress"), at("progress-bar"), message.interview);
      conversation.speaks(message.language === "de" ? "de" : "en");
      for (const notice of message.notices ?? []) say(notice.message);
      break;
    case "interview":
      progress(at("progress"), at("progress-bar"), message);
      break;
    case "speech.started":
      conversation.speaking(message.turn);
      break;
    case "transcript":
      conversation.transcript(message);
      break;
    case "degraded":
      if (message.stage === "tts" && message.to === "text") say(VOICELESS);
      break;
    case "error":
      if (!message.fatal && message.code in REASONS) refused(message.code);
      break;
  }
  interviewer.take(message);
}

/** An answer was not accepted: a typed one is given back. */
function refused(code) {
  say(REASONS[code]);
  answer.give(conversation.refused());
}

/** Under the face, and to who does not see it. */
function say(words) {
  conversation.say(words);
  announce(words);
}

function announce(words, language = "en") {
  at("announced").lang = language;
  at("announced").textContent = words;
}

setInterval(async () => {
  if (call?.over !== false || !call.transport?.kind) return;
  session.panel.facts(await session.facts(call, interviewer));
}, FACTS_EVERY_MS);

// --- what the person does ------------------------------------------------------------------------

function live() {
  return document.body.dataset.view === "live";
}

const controls = new Controls(at, live, {
  mute: () => {
    picker.mute(!picker.muted);
    return picker.muted;
  },
  interrupt: () => {
    interviewer.silence();
    call?.send({ type: "interrupt" });
  },
  end: () => {
    interviewer.silence();
    call?.hangUp();
  },
});

const answer = new AnswerField(at("typed"), at("answer"), {
  changed: (draft) => kept.change({ draft }),
  send: (text) => {
    if (at("line").dataset.state !== "live") return say(WAITS), false;
    conversation.typed(text);
    if (!settling) call.send({ type: "text", text });
    return true;
  },
});

at("go-on").addEventListener("click", () => enter(goOn));
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
  offer.shown(kept.interview !== null);
  view("setup");
}

/** The interview is over; one that `broke` off is kept, and can be gone on with. */
async function over(id, words, broke = false) {
  const ended = call;
  const played = interviewer.drained();
  view("ended");
  conversation.say(words || "Thank you for the conversation.");
  ending.show(words, broke);
  at("go-on").disabled = interviewer.speaker !== null; // until it has been closed
  await played;
  rest();
  if (broke) return;
  const chosen = kept.interview?.chosen;
  kept.forget();
  const made = await report(id);
  if (call !== ended) return; // there is another one by now
  if (!made.known) kept.begin(id, chosen); // the page, loaded again, asks again
  ending.reported(words, made);
}

/** Release the microphone and the loudspeaker. */
function rest() {
  picker.release();
  device.awake(false);
  interviewer.close();
  lost = "";
  at("start").disabled = at("offer-go").disabled = at("go-on").disabled = false;
  controls.ready();
}

function view(name) {
  if (document.body.dataset.view !== name) scrollTo({ top: 0 });
  document.body.dataset.view = name;
  picker.live = name === "live";
}

// --- an interview that was left ------------------------------------------------------------------

/** Find the interview that this browser keeps, and go on with it if this tab was in it. */
async function find() {
  if (kept.interview === null) return;
  const { session: id, unsent } = kept.interview;
  const found = await stored(id);
  if (entering || interviewer.speaker !== null) return; // another one was begun meanwhile
  if (found === null) return kept.forget();
  if (found?.finished || found?.interview?.isComplete) {
    conversation.restart();
    conversation.restore((await transcript(id)) ?? [], []);
    return over(id, "");
  }
  offer.describe(found);
  if (!kept.here) return;
  if (audible()) return enter(goOn);
  // Nobody would hear the interviewer before the next click: so that click is waited for.
  const lines = await transcript(id);
  if (entering || interviewer.speaker !== null) return;
  conversation.restart();
  conversation.restore(lines ?? [], unsent);
  const { currentQuestion = 0, isComplete = false } = found?.interview ?? {};
  const totalQuestions = found?.totalQuestions ?? 0;
  if (totalQuestions > 0) progress(at("progress"), at("progress-bar"), { currentQuestion, totalQuestions, isComplete });
  at("line-words").textContent = WAITING;
  conversation.say(THERE);
  view("ended");
  ending.waits();
}

// --- at the start --------------------------------------------------------------------------------

view("setup");
counted(at("questions"), at("questions-shown"), at("minutes"));
remembered(at("setup"), ["way", "language", "picture", "announce"]);
find().catch((error) => console.warn(error));

/** For tests, and for the curious at the console. */
globalThis.parley = {
  picker,
  device,
  picture: interviewer.picture,
  get speaker() { return interviewer.speaker; },
  get face() { return interviewer.gallery.face; },
  get call() { return call; },
};
