// A page with Pipecat's stock client: window.connect(…) connects it, window.seen has what happened.
// Built to page.js by tests/support/pipecat/__init__.py, as an application builds its own.
import { PipecatClient } from '@pipecat-ai/client-js';
import { WebSocketTransport, WavMediaManager as WavOfSocket } from '@pipecat-ai/websocket-transport';
import { SmallWebRTCTransport, WavMediaManager as WavOfPeer } from '@pipecat-ai/small-webrtc-transport';

const seen = { events: [], sound: [], sockets: [], states: [] };
const note = (type, data) => seen.events.push({ type, data: data ?? null, at: performance.now() });

// --- what is heard: the loudest sample of each piece that a page plays, and when it is played ----

const PIECE = 256;

function tap(context, node) {
  const listener = context.createScriptProcessor(PIECE, 1, 1);
  listener.onaudioprocess = (event) => {
    const samples = event.inputBuffer.getChannelData(0);
    let peak = 0;
    for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
    seen.sound.push({ at: performance.now(), peak });
  };
  connect.call(node, listener);
  connect.call(listener, context.destination);
}

const connect = AudioNode.prototype.connect;
const taps = new WeakMap();
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode && this instanceof AudioWorkletNode) {
    // The player makes a node for each stretch of audio; all of them go through one tap.
    if (!taps.has(this.context)) {
      const gain = this.context.createGain();
      taps.set(this.context, gain);
      tap(this.context, gain);
    }
    connect.call(this, taps.get(this.context));
  }
  return connect.call(this, target, ...rest);
};

function play(track) {
  if (track.kind !== 'audio') return note('video-track');
  const stream = new MediaStream([track]);
  const element = new Audio();
  element.srcObject = stream; // Chromium decodes a remote track only where an element plays it
  element.muted = true;
  element.play();
  const context = new AudioContext();
  tap(context, context.createMediaStreamSource(stream));
}

// --- the client ------------------------------------------------------------------------------

const callbacks = {
  onConnected: () => note('connected'),
  onDisconnected: () => note('disconnected'),
  onTransportStateChanged: (state) => seen.states.push(state),
  onBotReady: (data) => note('bot-ready', data),
  onUserStartedSpeaking: () => note('user-started-speaking'),
  onUserStoppedSpeaking: () => note('user-stopped-speaking'),
  onBotStartedSpeaking: () => note('bot-started-speaking'),
  onBotStoppedSpeaking: () => note('bot-stopped-speaking'),
  onUserTranscript: (data) => note('user-transcription', data),
  onBotOutput: (data) => note('bot-output', data),
  onBotLlmText: (data) => note('bot-llm-text', data),
  onBotLlmStarted: () => note('bot-llm-started'),
  onBotLlmStopped: () => note('bot-llm-stopped'),
  onBotTtsText: (data) => note('bot-tts-text', data),
  onBotTtsStarted: () => note('bot-tts-started'),
  onBotTtsStopped: () => note('bot-tts-stopped'),
  onMetrics: (data) => note('metrics', data),
  onLLMFunctionCallStopped: (data) => note('function-stopped', data),
  onServerMessage: (data) => note('server-message', data),
  onMessageError: (message) => note('message-error', message?.data ?? message),
  onError: (message) => note('error', message?.data ?? message),
  onTrackStarted: (track, participant) => { if (!participant?.local) play(track); },
};

let client;

function make(kind) {
  const transport = kind === 'websocket'
    ? new WebSocketTransport({ mediaManager: new WavOfSocket(512, 16000) })
    : new SmallWebRTCTransport({ mediaManager: new WavOfPeer() });
  client = new PipecatClient({ transport, callbacks, enableMic: true, enableCam: false });
  client.registerFunctionCallHandler('weather', async ({ arguments: given }) => {
    note('function-call', given);
    return { sky: `grey in ${given.place}` };
  });
  window.client = client;
  return client;
}

const failure = (error) => String(error?.message ?? error?.status ?? error);

// The data of `bot-ready`, or what went wrong.
window.start = async (kind, request) => {
  try {
    if (request.headers) request.headers = new Headers(request.headers);
    return await make(kind).startBotAndConnect(request);
  } catch (error) {
    return failure(error);
  }
};
window.join = async (kind, parameters) => {
  try {
    return await make(kind).connect(parameters);
  } catch (error) {
    return failure(error);
  }
};
window.again = async (parameters) => await client.connect(parameters);
window.ask = async (kind, data) => {
  try {
    return (await client.sendClientRequest(kind, data)) ?? null;
  } catch (error) {
    return `refused: ${error?.data?.error ?? failure(error)}`;
  }
};
window.seen = seen;
window.ofType = (type) => seen.events.filter((event) => event.type === type);
// The loudest sample that was played between two moments.
window.loudest = (from, to) => Math.max(0, ...seen.sound
  .filter(({ at }) => at >= from && at < to).map(({ peak }) => peak));
