// The types of @parley/client. Messages have the names and fields of the gateway's native dialect
// (docs/protocol.md there), and the interfaces those of `parley-client` for Python.

export interface Ready {
  session_id: string;
  audio_in: { encoding: string; rate: number; channels: number; noise_reduction?: string };
  audio_out: { encoding: string; rate: number };
  providers: Record<string, string>;
  interview: Interviewed;
  language?: string;
  notices?: { code: string; message: string }[];
  resume?: string | null;
  resumed?: { kept: boolean; complete: boolean; texts?: number } | null;
}

export interface Interviewed {
  role: string;
  model: string;
  currentQuestion: number;
  totalQuestions: number;
  isComplete: boolean;
}

/** The person begins to speak, at this position of the audio sent. */
export interface SpeechStarted {
  turn: number;
  at_ms: number;
}

/** The person has finished, as the gateway decided. */
export interface SpeechStopped {
  turn: number;
  at_ms: number;
}

/** What was understood; `final` once it will not change any more. */
export interface Transcript {
  turn: number;
  text: string;
  final: boolean;
  language?: string;
  confidence?: number;
  words?: { text: string; start_ms: number; end_ms: number }[];
}

export interface ReplyStarted {
  turn: number;
}

/** The next words of the reply, before they are heard: `caption` tells when. */
export interface ReplyText {
  turn: number;
  text: string;
}

export type Viseme =
  | "sil" | "PP" | "FF" | "TH" | "DD" | "kk" | "CH" | "SS" | "nn" | "RR" | "aa" | "E" | "ih" | "oh" | "ou";

/** Mouth shapes of audio that comes: start `t` and duration `d` in ms, shape `v`, weight `w`. */
export interface Visemes {
  turn: number;
  start_ms: number;
  cues: { t: number; d: number; v: Viseme; w: number }[];
}

export interface AvatarState {
  state: "listening" | "thinking" | "speaking" | "idle";
}

/** A picture of the face, in base64; `at_ms` is its place in the reply, null in silence. */
export interface AvatarFrame {
  turn: number | null;
  mime: string;
  data: string;
  at_ms?: number | null;
}

export interface ReplyDone {
  turn: number;
  interrupted: boolean;
  heard: string;
}

/** The reply was stopped at this position; what is buffered of it has been dropped. */
export interface Clear {
  turn: number;
  at_ms: number;
}

export interface ReplyPaused {
  turn: number;
  at_ms: number;
}

export interface ReplyResumed {
  turn: number;
  at_ms: number;
}

/** Where the time of a turn went. */
export interface TurnMetrics {
  turn: number;
  budget_ms: number;
  stages: { stage: string; provider: string; start: number; first: number | null; end: number | null }[];
  voice_to_voice_ms?: number | null;
  shares?: { stage: string; provider: string; ms: number; failed: boolean }[];
}

/** `interview`: how far it is. */
export interface Progress {
  currentQuestion: number;
  totalQuestions: number;
  isComplete: boolean;
}

export interface Degraded {
  stage: string;
  from: string;
  to: string;
  reason: string;
  turn?: number;
}

/** A function of this client's is called. */
export interface ToolCall {
  turn: number;
  call_id: string;
  name: string;
  arguments: Record<string, unknown>;
}

export interface GoingAway {
  in_ms: number;
}

export interface Expiring {
  in_ms: number;
}

/** The gateway could not do something; the call goes on unless it is `fatal`. */
export interface ErrorMessage {
  code: string;
  message: string;
  fatal?: boolean;
  turn?: number;
}

export interface Pong {
  now: number;
  t?: number | string;
}

/** The client's own: the line broke; it connects again by itself, and `ready` follows. */
export interface LineBroke {
  reason: string;
}

/** A message of the gateway, of any type. */
export interface Message {
  type: string;
  seq?: number;
  [field: string]: unknown;
}

export type State = "idle" | "connecting" | "live" | "silent" | "reconnecting" | "ended" | "failed";

/** An answer that was typed; `before` says how many accepted ones ended like it already. */
export interface Typed {
  text: string;
  before: number;
}

/** The messages of the gateway, by their types. */
export interface Messages {
  ready: Ready;
  "speech.started": SpeechStarted;
  "speech.stopped": SpeechStopped;
  transcript: Transcript;
  "reply.started": ReplyStarted;
  "reply.text": ReplyText;
  visemes: Visemes;
  "avatar.state": AvatarState;
  "avatar.frame": AvatarFrame;
  "reply.done": ReplyDone;
  clear: Clear;
  "reply.paused": ReplyPaused;
  "reply.resumed": ReplyResumed;
  "turn.metrics": TurnMetrics;
  interview: Progress;
  degraded: Degraded;
  "tool.call": ToolCall;
  going_away: GoingAway;
  expiring: Expiring;
  error: ErrorMessage;
  pong: Pong;
}

/** What is in `detail` of each event. */
export interface Events extends Messages {
  message: Message;
  sent: Message;
  state: { state: State; words: string; code: string };
  "line.broke": LineBroke;
  caption: { turn: number; text: string };
  "reply.heard": { turn: number };
  typed: { item: Typed; state: "sending" | "unsent" | "accepted" | "refused"; turn?: number };
  microphone: { words: string };
  video: { track: MediaStreamTrack | null };
  sounded: Sound & { lasts: number; context: AudioContext; behind: number };
  context: { context: AudioContext };
}

/** 20 ms: how loud, of full scale; `at` is the context's time in seconds, `now` the wall's clock in ms. */
export interface Sound {
  level: number;
  at: number;
  now: number;
}

export interface Options {
  /** Of a new session: "Software Engineer", which is the default, "Product Manager" or "Data Analyst". */
  role?: string;
  /** Of a new session: 1 to 15. */
  questions?: number;
  /** Of a new session: "en", "de", or "auto". */
  language?: string;
  /** Of a new session: a chat model's name. */
  model?: string;
  /** The id of a session that was made over REST, or was left: it is joined. */
  session?: string;
  /** A ticket or a pass. */
  ticket?: string;
  /** An API key; a page that others use should have a ticket. */
  key?: string;
  /** "auto" is WebRTC, and the WebSocket where that does not come up. */
  transport?: "auto" | "webrtc" | "websocket";
  /** The device's id; true is the system's own, false none: answers are typed, or `listen` is used. */
  microphone?: boolean | string;
  /** The output device's id; "" is the system's own. */
  loudspeaker?: string;
  /** What is sent for a face; "frames" is video over WebRTC and pictures over the WebSocket. */
  avatar?: "off" | "visemes" | "frames";
  /** Which face the gateway draws. */
  face?: string;
  /** The dialect's `turn_detection`, such as `{ mode: "manual" }`. */
  turnDetection?: Record<string, unknown>;
  noiseReduction?: "off" | "near_field" | "far_field";
  /** What a page before this one had typed and not seen accepted. */
  unsent?: Typed[];
}

export class Interview extends EventTarget {
  /** The address of a gateway, with any path; "" is where the page comes from. */
  constructor(gateway?: string | Gateway, options?: Options);
  readonly gateway: Gateway;
  readonly session: string | null;
  readonly state: State;
  readonly way: "webrtc" | "websocket" | null;
  readonly why: string;
  readonly muted: boolean;
  readonly unsent: readonly Typed[];
  readonly caption: { turn: number; text: string } | null;
  /** Open the loudspeaker alone, in a click, where `connect` comes later. */
  open(): Promise<void>;
  /** Call it in a click, once. Resolves when the interviewer is there; rejects with a `CallError`. */
  connect(): Promise<void>;
  history(): Promise<{ speaker: "interviewer" | "candidate"; text: string; interrupted: boolean }[] | undefined>;
  /** Throws RangeError for a text that is empty or too long, and for a ninth on its way. */
  say(text: string): void;
  interrupt(): void;
  /** What a function of this page's returned, after `tool.call`. Sent again where the line breaks. */
  answerTool(callId: string, result: unknown): void;
  /** Push to talk: the spoken turn ends here. */
  commit(): void;
  mute(muted?: boolean): void;
  listen(microphone: Microphone | null): void;
  play(device: string): void;
  /** On a lost line the gateway is told when it is back, for ten seconds; then it ends by itself. */
  end(): void;
  close(): Promise<void>;
  cursor(): { turn: number; ms: number; sounding: boolean } | null;
  mouth(now?: number): [from: Viseme, to: Viseme, share: number];
  measured(): Promise<{
    roundTripMs: number | null;
    queuedMs: number;
    underruns: number;
    line: Record<string, string>;
  }>;
  addEventListener<K extends keyof Events>(
    type: K,
    listener: (event: CustomEvent<Events[K]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof Events>(
    type: K,
    listener: (event: CustomEvent<Events[K]>) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** A gateway and what shows it that this page may use it. */
export class Gateway {
  constructor(url?: string, credentials?: { ticket?: string; pass?: string });
  readonly url: string;
  ticket: string;
  pass: string;
  fetch(path: string, options?: RequestInit): Promise<Response>;
  reachable(): Promise<boolean>;
  stored(session: string): Promise<Record<string, unknown> | null | undefined>;
  transcript(session: string): Promise<{ speaker: string; text: string; interrupted: boolean }[] | undefined>;
}

export class Microphone {
  static open(
    deviceId?: string,
    heard?: (sound: Sound & { pcm: ArrayBuffer }, context: AudioContext) => void,
  ): Promise<Microphone>;
  readonly track: MediaStreamTrack;
  readonly deviceId: string;
  mute(muted: boolean): void;
  onlost(callback: () => void): void;
  close(): void;
}

/** There is no microphone; `message` says why, in words for people. */
export class NoMicrophone extends Error {}

/** Microphones and loudspeakers. */
export function devices(): Promise<Record<"inputs" | "outputs", { id: string; label: string }[]>>;
/** Whether a page may sound without another click, as far as the browser says. */
export function audible(): boolean;
/** Whether the browser lets a page choose where it sounds. */
export function choosable(): boolean;

/** A call did not begin or cannot go on; `message` says why, in words for people. */
export class CallError extends Error {
  /** `access_required`, `full`, `stopping`, `unreachable`, `already_connected`, …; "" for none. */
  readonly code: string;
}
/** The gateway did not take the call, or ended it. */
export class Refused extends CallError {}
/** No gateway was reached, or not again in time. */
export class LineLost extends CallError {}

export const SILENT: string;
export const TAKEN: string;
