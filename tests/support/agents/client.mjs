// A stock client of @openai/agents-realtime: one JSON line for everything that happens.
//
//     node client.mjs ws://127.0.0.1:8000/v1/realtime?model=test key < commands
//
// Commands, one a line: {"audio": base64 of PCM16 at 24 kHz}, {"text": "…"}, {"interrupt": true},
// {"raw": {…}} for an event as it is, {"close": true}.
import { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebSocket, tool } from '@openai/agents-realtime';
import readline from 'node:readline';

const [url, apiKey] = process.argv.slice(2);
const say = (type, fields = {}) => console.log(JSON.stringify({ type, ...fields }));

const weather = tool({
  name: 'weather',
  description: 'The weather at a place.',
  parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'], additionalProperties: true },
  strict: false,
  execute: async (input) => {
    say('tool', { input });
    return 'sunny';
  },
});

const agent = new RealtimeAgent({ name: 'test', instructions: 'Be brief.', tools: [weather] });
const transport = new OpenAIRealtimeWebSocket({ url });
const session = new RealtimeSession(agent, { transport, model: 'test' });

transport.on('*', (event) => {
  if (event.type !== 'response.output_audio.delta') say('event', { event });
});
let heard = 0, speaks = null;
const cut = new Set();
session.on('audio', (event) => {
  heard += event.data.byteLength;
  speaks = event.responseId;
  if (cut.has(speaks)) say('late', { response: speaks });
});
session.on('audio_interrupted', () => {
  cut.add(speaks);
  say('interrupted', { heard, response: speaks });
});
session.on('audio_stopped', () => say('audio_stopped', { heard }));
session.on('history_updated', (history) => say('history', { history }));
session.on('error', (error) => say('error', { error: String(error?.error?.message ?? error?.message ?? JSON.stringify(error)) }));

try {
  await session.connect({ apiKey, url });
} catch (error) {
  say('refused', { error: String(error?.message ?? error) });
  process.exit(1);
}
say('connected');

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.audio) session.sendAudio(Uint8Array.from(Buffer.from(command.audio, 'base64')).buffer);
  if (command.text) session.sendMessage(command.text);
  if (command.interrupt) session.interrupt();
  if (command.raw) transport.sendEvent(command.raw);
  if (command.close) break;
}
session.close();
say('closed');
process.exit(0);
