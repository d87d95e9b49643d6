// The microphone: permission, choice, level, and 20 ms messages of PCM16 at 16 kHz.

export const RATE_HZ = 16000;

const WORDS = {
  NotAllowedError: "The microphone was refused. Allow it in the browser's address bar, or type.",
  NotFoundError: "There is no microphone here. You can type your answers.",
  NotReadableError: "Another program holds the microphone. Close it, or type your answers.",
  OverconstrainedError: "That microphone has gone. Choose another one, or type your answers.",
};
const INSECURE =
  "Browsers give a page the microphone over HTTPS or on this machine only. You can type instead.";

/** Why there is no microphone, in words for people. */
export class NoMicrophone extends Error {
  constructor(error) {
    super(WORDS[error?.name] ?? "The microphone does not work. You can type your answers.");
  }
}

/** Microphones and loudspeakers as `{id, label}`; labels are known once the person has allowed a
 * microphone. */
export async function devices() {
  const found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const named = (kind, word) =>
    found
      .filter((device) => device.kind === kind && device.deviceId !== "")
      .map((device, i) => ({ id: device.deviceId, label: device.label || `${word} ${i + 1}` }));
  return { inputs: named("audioinput", "Microphone"), outputs: named("audiooutput", "Loudspeaker") };
}

export class Microphone {
  /** The device of this id, "" for the system's own. Raises `NoMicrophone`. `heard({pcm, level, at, now},
   * context)` is called every 20 ms; `at` is the context's time, `now` that of the wall's clock. */
  static async open(deviceId = "", heard = () => {}) {
    if (!window.isSecureContext || navigator.mediaDevices === undefined) {
      const refusal = new NoMicrophone(null);
      refusal.message = INSECURE;
      throw refusal;
    }
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    if (deviceId) audio.deviceId = { exact: deviceId };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { ...audio, channelCount: 1 } });
      return await Microphone.#listen(stream, heard);
    } catch (error) {
      stream?.getTracks().forEach((track) => track.stop());
      throw new NoMicrophone(error);
    }
  }

  static async #listen(stream, heard) {
    const [context, source] = await tapped(stream);
    try {
      await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
      const node = new AudioWorkletNode(context, "capture", {
        numberOfOutputs: 0,
        channelCount: 1,
        channelCountMode: "explicit",
        processorOptions: { rate: RATE_HZ },
      });
      const microphone = new Microphone(stream, context, node);
      node.port.onmessage = ({ data }) => {
        heard(data, context);
        microphone.sent(data.pcm);
      };
      source.connect(node);
      context.resume().catch(() => {}); // without a click it may wait for one
      return microphone;
    } catch (error) {
      await context.close();
      throw error;
    }
  }

  constructor(stream, context, node) {
    this.stream = stream;
    this.context = context;
    this.node = node;
    this.sent = () => {}; // where its audio goes
    [this.track] = stream.getAudioTracks();
  }

  get deviceId() {
    return this.track.getSettings().deviceId ?? "";
  }

  /** Muted, it goes on with silence: the server's clock of the conversation is the audio. */
  mute(muted) {
    this.track.enabled = !muted;
    this.node.port.postMessage({ muted });
  }

  /** Calls back when the device is unplugged, or permission is taken back. */
  onlost(callback) {
    this.track.addEventListener("ended", callback);
  }

  close() {
    this.node.port.onmessage = null;
    this.stream.getTracks().forEach((track) => track.stop());
    if (this.context.state !== "closed") this.context.close();
  }
}

/** A context of 16 kHz where the browser can, and the microphone in it. */
async function tapped(stream) {
  const context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
  try {
    return [context, context.createMediaStreamSource(stream)];
  } catch {
    // Firefox connects a microphone at its own rate only; the worklet resamples then.
    await context.close();
    const own = new AudioContext({ latencyHint: "interactive" });
    try {
      return [own, own.createMediaStreamSource(stream)];
    } catch (error) {
      await own.close();
      throw error;
    }
  }
}
