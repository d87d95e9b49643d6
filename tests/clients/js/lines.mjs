// What the client does with its line, told as JSON: each story by its name, and what came of it.
//
//   node --experimental-default-type=module lines.mjs <folder of the client's modules>
//
// The gateway, the clock and the sound are doubles: time passes when a story lets it.

import { pathToFileURL } from "node:url";

const STUCK_MS = 5000; // of the real clock
const wait = setTimeout;
const clock = { now: 0, timers: new Map(), last: 0, hidden: false };
// A hidden tab runs its timers at whole seconds, and none at once.
const due = (ms) =>
  clock.hidden ? Math.ceil((clock.now + Math.max(1, ms)) / 1000) * 1000 : clock.now + ms;
const later = (callback, ms = 0, every = null) => {
  clock.last += 1;
  clock.timers.set(clock.last, { at: due(ms), callback, every });
  return clock.last;
};
const settled = async () => {
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** Let so many ms pass. */
async function pass(ms) {
  const end = clock.now + ms;
  for (;;) {
    await settled();
    const next = [...clock.timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
    if (next === undefined) break;
    const [id, { at, callback, every }] = next;
    clock.now = at;
    if (every === null) clock.timers.delete(id);
    else clock.timers.set(id, { at: due(every), callback, every });
    callback();
  }
  clock.now = end;
}

const sockets = [];
let transcript = () => [200, { lines: [] }];
let sessions = 0; // that were made

class Socket {
  static OPEN = 1;
  readyState = 0;
  bufferedAmount = 0;

  constructor() {
    this.sent = [];
    sockets.push(this);
  }

  send(data) {
    this.sent.push(JSON.parse(data));
  }

  close(code = 1005) {
    this.closedWith ??= code;
    later(() => this.breaks(code));
  }

  // --- what the gateway does ---

  accept() {
    this.readyState = 1;
    this.onopen();
  }

  tells(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  breaks(code = 1006) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose({ code, reason: "" });
  }

  /** Of these types, without what each connection begins with. */
  got(...types) {
    return this.sent.filter(({ type }) => types.includes(type));
  }
}

const read = async (body) => body ?? Promise.reject(new TypeError("the body broke off"));
const answer = ([status, body]) => ({ status, ok: status < 400, json: () => read(body) });

async function fetched(url, { method = "GET" } = {}) {
  if (url.endsWith("/api/sessions") && method === "POST") {
    sessions += 1;
    return answer([201, { session_id: "s", access: { value: "pass" } }]);
  }
  if (url.endsWith("/transcript")) return answer(transcript());
  return answer([200, { status: "ready" }]);
}

Object.assign(globalThis, {
  setTimeout: (callback, ms) => later(callback, ms),
  setInterval: (callback, ms) => later(callback, ms, ms),
  clearTimeout: (id) => clock.timers.delete(id),
  clearInterval: (id) => clock.timers.delete(id),
  addEventListener: () => {},
  removeEventListener: () => {},
  cancelAnimationFrame: () => {},
  location: { href: "http://page.test/" },
  WebSocket: Socket,
  fetch: fetched,
});
Object.defineProperty(globalThis, "performance", { value: { now: () => clock.now } });
Object.defineProperty(globalThis, "navigator", { value: { onLine: true } });

const own = (name) => import(pathToFileURL(`${process.argv[2]}/${name}.js`));
const { Interview } = await own("interview");
const { Microphone } = await own("microphone");
await Promise.all([own("call"), own("transport")]); // which a call loads itself, in no known time

const SPEAKER = { rate: 48000, cursor: () => null };
for (const name of ["anchor", "begin", "clear", "finish", "push", "use"]) SPEAKER[name] = () => {};
for (const name of ["close", "drained", "listen"]) SPEAKER[name] = async () => {};

/** An interview over a WebSocket without a sound, and what became of what was typed in it. */
function made(options = {}) {
  const all = { transport: "websocket", microphone: false, ...options };
  const interview = new Interview("http://gateway.test", all);
  interview.voice.open = async () => {
    interview.voice.speaker = SPEAKER;
  };
  const typed = [];
  interview.addEventListener("typed", ({ detail }) => typed.push([detail.item.text, detail.state]));
  return { interview, typed };
}

const READY = { type: "ready", seq: 1, resume: "pr_token", interview: {} };

/** Connected: the line stands. */
async function begun(options) {
  const all = made(options);
  const coming = all.interview.connect();
  coming.catch(() => {});
  await pass(10);
  await welcome(READY);
  return { ...all, coming, first: sockets.at(-1) };
}

/** The gateway takes the newest line. */
async function welcome(ready) {
  sockets.at(-1).accept();
  sockets.at(-1).tells(ready);
  await pass(10);
}

/** The line that the client makes anew, within its longest pause. */
async function tried() {
  for (let i = 0; i < 31 && sockets.at(-1).readyState !== 0; i += 1) await pass(100);
  return sockets.at(-1);
}

/** The client comes back, and is told so; returns its new line. */
async function back(resumed, ...missed) {
  const line = await tried();
  line.accept();
  for (const message of missed) line.tells(message);
  line.tells({ ...READY, resumed });
  await pass(10);
  return line;
}

const texts = (line) => line.got("text").map(({ text }) => text);
const finals = (typed) => Object.fromEntries(typed);
const KEPT = { kept: true, complete: true, texts: 0 };
const ANEW = { kept: false, complete: false };
const said = (...lines) => [200, { lines: lines.map((text) => ({ speaker: "candidate", text })) }];

const stories = {
  async what_is_typed_before_the_interviewer_is_there() {
    const { interview, typed } = made();
    const there = interview.connect();
    await pass(10);
    interview.say("At once.");
    await welcome(READY);
    await there;
    return [texts(sockets.at(-1)), typed.map(([, state]) => state)];
  },

  async what_has_arrived_is_not_sent_again() {
    const { interview, first } = await begun();
    interview.say("It has arrived.");
    interview.say("It was lost.");
    first.breaks();
    transcript = () => said(); // its turn is not over: the transcript has neither
    const line = await back({ ...KEPT, texts: 1 });
    return [texts(first), texts(line), interview.unsent.map(({ text }) => text)];
  },

  async what_is_typed_in_a_silence_is_sent_once() {
    const { interview, first } = await begun();
    await pass(2500);
    const { state } = interview;
    interview.say("Is anybody there?");
    first.tells({ type: "pong", t: 0 });
    await pass(10);
    return [state, interview.state, texts(first)];
  },

  async an_answer_whose_packet_was_sent_again_is_in_time() {
    const { interview, first } = await begun();
    await pass(1600);
    const { state } = interview;
    first.tells({ type: "pong", t: 0 });
    await pass(1600);
    const after = interview.state;
    await pass(200);
    return [state, after, interview.state];
  },

  async a_hidden_tab_notices_a_silence() {
    const { interview, first } = await begun();
    clock.hidden = true;
    for (let i = 0; i < 5; i += 1) {
      await pass(1000);
      first.tells({ type: "pong", t: 0 });
    }
    const { state } = interview;
    await pass(5000);
    return [state, interview.state];
  },

  async in_another_conversation_the_transcript_shows_what_has_arrived() {
    const { interview, first, typed } = await begun();
    interview.say("It is stored.");
    interview.say("It was lost.");
    first.breaks();
    interview.say("Typed meanwhile.");
    transcript = () => said("It is stored.");
    const line = await back(ANEW);
    return [texts(line), finals(typed)];
  },

  async where_the_pass_has_expired_nothing_is_said_twice() {
    const { interview, first, typed } = await begun();
    interview.say("It may have arrived.");
    first.breaks();
    interview.say("Typed meanwhile.");
    transcript = () => [401, { code: "unauthorized" }];
    const line = await back(ANEW);
    return [texts(line), finals(typed)];
  },

  async what_a_page_before_had_typed_is_given_back_where_its_pass_has_expired() {
    transcript = () => [401, { code: "unauthorized" }];
    const { typed, first } = await begun({ session: "s", unsent: [{ text: "Earlier.", before: 0 }] });
    return [texts(first), finals(typed)];
  },

  async of_a_conversation_that_goes_on_the_count_is_enough() {
    const { interview, first, typed } = await begun();
    interview.say("It has arrived.");
    interview.say("It was lost.");
    first.breaks();
    transcript = () => [401, { code: "unauthorized" }];
    const line = await back({ kept: true, complete: false, texts: 1 });
    return [texts(line), finals(typed)];
  },

  async a_result_that_was_lost_is_sent_again_while_its_reply_waits() {
    const { interview, first } = await begun();
    first.tells({ type: "tool.call", turn: 1, call_id: "a", name: "open", arguments: {} });
    interview.answerTool("a", "over");
    first.tells({ type: "reply.done", turn: 1 });
    first.tells({ type: "tool.call", turn: 2, call_id: "b", name: "open", arguments: {} });
    first.tells({ type: "tool.call", turn: 2, call_id: "c", name: "open", arguments: {} });
    first.breaks();
    interview.answerTool("b", { page: 3 });
    const line = await back(KEPT);
    interview.answerTool("c", "later");
    line.breaks();
    const next = await back(KEPT);
    next.breaks();
    const last = await back(KEPT, { type: "reply.started", turn: 3 });
    return [line, next, last].map((each) => each.got("tool.result").map(({ call_id, result }) => [call_id, result]));
  },

  async a_result_for_a_conversation_that_is_lost_is_not_sent_in_the_next() {
    const { interview, first } = await begun();
    first.tells({ type: "tool.call", turn: 1, call_id: "a", name: "open", arguments: {} });
    first.breaks();
    interview.answerTool("a", "for nobody");
    const line = await back(ANEW);
    return line.got("tool.result");
  },

  async who_ends_on_a_lost_line_is_heard_when_it_is_back() {
    const { interview, first } = await begun();
    interview.say("My last words.");
    first.breaks();
    await pass(10);
    interview.end();
    await pass(1);
    const tries = sockets.length;
    const line = await back(KEPT);
    line.breaks(1000);
    await pass(20000);
    return [tries, line.got("text", "bye").map(({ type }) => type), interview.state, sockets.length];
  },

  async a_goodbye_that_was_lost_with_the_line_is_said_again() {
    const { interview, first } = await begun();
    interview.end();
    first.breaks();
    const line = await back(KEPT);
    line.breaks(1000);
    await pass(20000);
    return [first.got("bye").length, line.got("bye").length, interview.state, sockets.length];
  },

  async a_goodbye_on_a_line_that_breaks_for_good_ends_the_interview() {
    const { interview, first } = await begun();
    interview.end();
    first.breaks();
    await pass(11000);
    return [first.got("bye").length, interview.state];
  },

  async a_goodbye_follows_what_was_typed_on_a_line_that_is_not_ready() {
    const { interview, first } = await begun();
    interview.say("My last words.");
    first.breaks();
    const line = await tried();
    line.accept();
    await pass(1);
    interview.end();
    line.tells({ ...READY, resumed: KEPT });
    await pass(10);
    return line.got("text", "bye").map(({ type }) => type);
  },

  async a_transcript_that_breaks_off_is_asked_for_again() {
    const { interview, first } = await begun();
    interview.say("My last words.");
    first.breaks();
    transcript = () => [200, null];
    const line = await back(ANEW);
    await pass(100);
    transcript = () => said();
    await pass(3000);
    return texts(line);
  },

  async a_session_that_is_over_is_not_begun_anew_to_end_it() {
    const { interview, first } = await begun();
    interview.end();
    first.breaks();
    const line = await tried();
    line.accept();
    line.tells({ type: "error", code: "cannot_resume", message: "no", fatal: true });
    line.breaks(1008);
    await pass(20000);
    return [interview.state, sockets.length];
  },

  async a_line_that_does_not_come_back_ends_the_interview_all_the_same() {
    const { interview, first } = await begun();
    first.breaks();
    await pass(10);
    interview.end();
    await pass(9900);
    const { state } = interview;
    const words = [];
    interview.addEventListener("state", ({ detail }) => words.push(detail.words));
    await pass(200);
    const tries = sockets.length;
    await pass(60000);
    return [state, interview.state, words, sockets.length - tries];
  },

  async who_ends_in_a_silence_is_heard_over_a_new_line() {
    const { interview, first } = await begun();
    await pass(2500);
    const { state } = interview;
    interview.end();
    await pass(10);
    const line = await back(KEPT);
    line.breaks(1000);
    await pass(10);
    return [state, first.got("bye").length, first.closedWith, line.got("bye").length, interview.state];
  },

  async the_end_waits_for_what_was_typed() {
    const { interview, first } = await begun();
    interview.say("My last words.");
    first.breaks();
    transcript = () => [503, {}];
    const line = await back(ANEW);
    interview.end();
    await pass(100);
    const early = line.got("text", "bye").length;
    transcript = () => said();
    await pass(3000);
    return [early, line.got("text", "bye").map(({ type }) => type)];
  },

  async an_interview_is_connected_once() {
    const { interview } = made();
    const both = [interview.connect(), interview.connect()];
    const second = await both[1].catch((error) => error.message);
    both[0].catch(() => {});
    await pass(10);
    await welcome(READY);
    await both[0];
    return [second, sessions, sockets.at(-1).got("hello").length];
  },

  async who_closes_while_it_connects_has_no_interview() {
    const closed = [];
    let give;
    Microphone.open = () => new Promise((resolve) => (give = resolve));
    const { interview } = made({ microphone: true });
    const coming = interview.connect().catch(({ code }) => code);
    await pass(10);
    await interview.close();
    give({ close: () => closed.push("microphone"), mute() {}, onlost() {} });
    return [await coming, closed, sessions, sockets.length];
  },

  async its_own_microphone_is_closed_although_another_was_put_in_its_place() {
    const closed = [];
    const microphone = (name) => ({ close: () => closed.push(name), mute() {}, onlost() {} });
    Microphone.open = async () => microphone("its own");
    const { interview } = await begun({ microphone: true });
    interview.listen(null);
    interview.listen(microphone("the page's"));
    await interview.close();
    return closed;
  },
};

const found = {};
for (const [name, story] of Object.entries(stories)) {
  transcript = () => said();
  clock.timers.clear(); // of the story before
  clock.hidden = false;
  sockets.length = sessions = 0;
  try {
    const stuck = new Promise((resolve) => wait(resolve, STUCK_MS, "stuck"));
    found[name] = await Promise.race([story(), stuck]);
  } catch (error) {
    found[name] = `${error.stack}`;
  }
}
process.stdout.write(JSON.stringify(found));
process.exit(0);
