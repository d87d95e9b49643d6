// The page: what the buttons do, and who is told what the server says.

import { ask, gateway, keep } from "./access.js";
import { CallError, Interview, SILENT, TAKEN, audible } from "./client/index.js";
import { AnswerField, Controls } from "./controls.js";
import { Conversation, progress } from "./conversation.js";
import { Device, Notice } from "./device.js";
import { Interviewer } from "./interviewer.js";
import { Kept, Offer, choice, counted, remembered } from "./kept.js";
import { Line } from "./line.js";
import { Picker } from "./picker.js";

const FACTS_EVERY_MS = 500;

const MUTE = "This browser cannot play the interviewer's voice.";
const WAITS = "You are not connected. What you typed waits here until you are.";
const VOICELESS = "The voice has failed. Please read what is asked.";
const QUIET_LINE = "The line is silent";
const MUTED = "You are muted";
const TYPE = "Your turn: type your answer";
const WAITING = "Your interview waits";
const THERE = "There you are again.";
const COMING = "Coming back to your interview…";
const REASONS = {
  not_stored: "Your answer could not be stored; you will be asked for it again.",
  empty_text: "There is nothing in that answer.",
  text_too_long: "That answer is too long.",
  too_many_turns: "One moment: earlier answers are still being stored.",
};

const at = (id) => document.getElementById(id);

const kept = new Kept();
const device = new Device(new Notice(at("mic-notice")));
const conversation = new Conversation(at("turns"), at("caption"));
const line = new Line(at);
const picker = new Picker(at, device, {
  changed: (microphone) => interview?.listen(microphone),
  heard: (sound, context) => loaded?.panel.latency.heard(sound, context),
  output: (id) => {
    output = id;
    interview?.play(id);
  },
});
const interviewer = new Interviewer(at, conversation, { aside });

let loaded = null; // what only an interview needs: its end, the panel for engineers, its facts
let interview = null;
let busy = false; // an interview is begun or held, or its devices are not released yet
let reached = false; // the interviewer has been there
let choices = null; // how the page holds it
let output = ""; // the loudspeaker that was chosen

/** Load what only an interview needs, or who looks under the hood. */
async function load() {
  const [facts, { Ending, report }, { Panel }] = await Promise.all(
    ["facts", "ending", "panel"].map((name) => import(`./${name}.js`)),
  );
  loaded ??= { ...facts, report, ending: new Ending(at), panel: new Panel(at("panel")) };
}

at("panel").addEventListener("toggle", () => load().catch((error) => console.warn(error)), { once: true });

/** What is more to the point than what the interviewer does. */
function aside(mood) {
  if (["silent", "reconnecting"].includes(line.state)) return QUIET_LINE;
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
async function enter(made) {
  if (busy) return;
  busy = true;
  reached = false;
  at("start").disabled = at("offer-go").disabled = at("go-on").disabled = true;
  at("setup-notice").textContent = "";
  try {
    const [mine, prepare] = made();
    interview = mine;
    follow(mine);
    // The sound first: in some browsers a click allows it for a moment only.
    await mine.open();
    await Promise.all([load(), picker.open()]);
    if (await prepare()) await mine.connect();
    else failed(TAKEN);
  } catch (error) {
    if (error instanceof CallError) return; // `state` has told it
    console.warn(error);
    failed((await gateway.reachable()) ? MUTE : SILENT); // some of that is loaded only now
  }
}

// --- the interview -------------------------------------------------------------------------------

function begin() {
  const { wanted, chosen } = choice(at("setup"));
  return [made(chosen, wanted), async () => restart()];
}

/** Go on with the interview that this browser keeps. */
function goOn() {
  const { session, chosen, unsent, draft } = kept.interview;
  const mine = made(chosen, { session, unsent });
  const prepare = async () => {
    if (!(await kept.hold(session))) return false;
    offer.session = null; // it gets beyond the question that the offer names
    const lines = await mine.history();
    restart();
    line.lost = true;
    conversation.restore(lines ?? [], mine.unsent);
    conversation.say(COMING);
    answer.give(draft);
    view("live");
    return true;
  };
  return [mine, prepare];
}

function made(chosen, wanted) {
  const { way, video, face } = chosen;
  const how = { transport: way || "auto", avatar: video ? "frames" : "visemes", face, loudspeaker: output };
  choices = chosen;
  return new Interview(gateway, { ...wanted, ...how, microphone: false });
}

/** A page with nothing of another interview. */
function restart() {
  conversation.restart();
  loaded.panel.restart();
  interviewer.mood.set("thinking");
  return true;
}

/** Show an interview, as long as there is no other one. */
function follow(mine) {
  const on = (type, told) => {
    mine.addEventListener(type, ({ detail }) => interview === mine && told(detail));
  };
  on("context", ({ context }) => device.watch(context));
  on("state", stands);
  on("message", take);
  on("sent", (message) => loaded.panel.log.add("page", message));
  on("sounded", ({ context, behind, ...report }) => {
    loaded?.panel.latency.sounded(report, context, behind);
  });
  on("caption", ({ text }) => {
    conversation.heard(text);
    if (at("setup").elements.announce.checked) announce(text, conversation.language);
  });
  on("typed", (told) => {
    conversation.typed(told);
    kept.change({ unsent: mine.unsent });
    if (told.state === "refused") answer.give(told.item.text);
  });
  interviewer.follow(mine);
}

/** How the line is. */
function stands({ state, words, code }) {
  loaded.panel.log.add("page", { type: "line", state, words });
  const back = line.show(state, words, connected());
  if (back) say(back);
  if (state === "live") {
    reached = true;
    device.awake(true);
    if (live()) return; // whoever types goes on typing
    view("live");
    if (picker.track === null) answer.focus();
    else at("conversation").focus({ preventScroll: true });
  } else if (state === "silent" || state === "reconnecting") {
    conversation.say(words);
    if (state === "silent") return;
    interviewer.picture.clear();
    interviewer.mood.set("idle");
  } else if (state === "failed" && !reached) {
    if (code === "access_required") ask(at("access"));
    failed(words);
  } else if (state === "failed" || state === "ended") {
    over(interview.session, words, state === "failed");
  }
}

function connected() {
  const { way, why } = interview;
  return `Connected over ${loaded.NAMES[way]}${why ? `, because ${why}` : ""}`;
}

/** A message of the server. */
function take(message) {
  loaded.panel.take(message);
  switch (message.type) {
    case "ready":
      keep();
      if (kept.interview?.session !== interview.session) kept.begin(interview.session, choices);
      kept.hold(interview.session);
      if (!message.resumed?.kept) conversation.connected();
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
      if (!message.fatal && message.code in REASONS) say(REASONS[message.code]);
      break;
  }
  interviewer.take(message);
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
  if (!busy || !interview?.way) return;
  loaded.panel.facts(await loaded.facts(interview, interviewer.picture));
}, FACTS_EVERY_MS);

// --- what the person does ------------------------------------------------------------------------

function live() {
  return document.body.dataset.view === "live";
}

const controls = new Controls(at, live, {
  mute: () => {
    interview.mute(!interview.muted);
    picker.mute(interview.muted);
    return interview.muted;
  },
  interrupt: () => {
    interviewer.picture.clear();
    interview?.interrupt();
  },
  end: () => {
    interviewer.picture.clear();
    interview?.end();
  },
});

const answer = new AnswerField(at("typed"), at("answer"), {
  changed: (draft) => kept.change({ draft }),
  send: (text) => {
    if (line.state !== "live") return say(WAITS), false;
    try {
      interview.say(text);
      return true;
    } catch {
      const many = interview.unsent.length > 1;
      return say(many ? REASONS.too_many_turns : REASONS.text_too_long), false;
    }
  },
});

at("go-on").addEventListener("click", () => enter(goOn));
at("again").addEventListener("click", () => {
  view("setup");
  at("start").focus();
});

// --- the end -------------------------------------------------------------------------------------

function failed(words) {
  interview?.close();
  rest();
  line.none("failed", "Not connected");
  at("setup-notice").textContent = words;
  offered();
  view("setup");
}

/** Offer the interview that is kept, where there is one. */
function offered() {
  if (kept.interview === null) offer.shown(false);
  else offer.describe(kept.interview.session);
}

/** The interview is over; one that `broke` off is kept, and can be gone on with. */
async function over(id, words, broke = false) {
  const ended = interview;
  view("ended");
  conversation.say(words || "Thank you for the conversation.");
  loaded.ending.show(words, broke);
  at("go-on").disabled = busy; // until it has been closed
  await ended?.close();
  rest();
  const chosen = kept.interview?.chosen;
  if (!broke) kept.forget();
  offered();
  if (broke) return;
  const made = await loaded.report(id);
  if (interview !== ended) return; // there is another one by now
  if (!made.known) kept.begin(id, chosen); // the page, loaded again, asks again
  loaded.ending.reported(words, made);
}

/** Release the microphone, and what shows the interview. */
function rest() {
  picker.release();
  device.awake(false);
  interviewer.close();
  line.lost = false;
  busy = false;
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
  const [found] = await Promise.all([gateway.stored(id), load()]);
  if (busy) return; // another one was begun meanwhile
  if (found === null) return kept.forget();
  if (found?.finished || found?.interview?.isComplete) {
    conversation.restart();
    conversation.restore((await gateway.transcript(id)) ?? [], []);
    return over(id, "");
  }
  offer.describe(id, found);
  if (!kept.here) return;
  if (audible()) return enter(goOn);
  // Nobody would hear the interviewer before the next click: so that click is waited for.
  const lines = await gateway.transcript(id);
  if (busy) return;
  conversation.restart();
  conversation.restore(lines ?? [], unsent);
  const { currentQuestion = 0, isComplete = false } = found?.interview ?? {};
  const totalQuestions = found?.totalQuestions ?? 0;
  if (totalQuestions > 0) progress(at("progress"), at("progress-bar"), { currentQuestion, totalQuestions, isComplete });
  at("line-words").textContent = WAITING;
  conversation.say(THERE);
  view("ended");
  loaded.ending.waits();
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
  get speaker() { return interview?.voice.speaker ?? null; },
  get face() { return interviewer.gallery.face; },
  get call() { return interview?.call ?? null; },
};
