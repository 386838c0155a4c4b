// The microphone: samples as they come, and the whole recording as a WAV file in the end.

/** The microphone cannot be had; the message is a sentence for people. */
export class NoMicrophone extends Error {}

const REASONS = {
  NotAllowedError:
    "The browser does not let this page hear the microphone. Allow it next to the address, then try again.",
  NotFoundError: "No microphone was found. Connect one, then try again.",
  NotReadableError: "The microphone is in use by another program, or the system withholds it.",
};

/** Samples between two blobs: a browser may keep blobs on disk, arrays it keeps in memory. */
const SPOOL = 480_000;

async function microphone() {
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
    throw new NoMicrophone("Browsers lend the microphone only to pages of this machine (localhost) or over https.");
  }
  try {
    // Echo cancelling and noise suppression change voices.
    return await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
    });
  } catch (error) {
    throw new NoMicrophone(REASONS[error.name] ?? `The microphone cannot be opened: ${error.message}`);
  }
}

function wavHeader(rate, size) {
  const view = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, size, true);
  return view.buffer;
}

/** Pieces of 16-bit samples, put together as a file at the end. */
class Tape {
  constructor(rate) {
    this.rate = rate;
    this.length = 0;
    this.blobs = [];
    this.recent = [];
    this.loose = 0;
  }

  add(samples) {
    this.recent.push(samples);
    this.length += samples.length;
    this.loose += samples.length;
    if (this.loose >= SPOOL) this.spool();
  }

  spool() {
    this.blobs.push(new Blob(this.recent));
    this.recent = [];
    this.loose = 0;
  }

  file(name) {
    this.spool();
    return new File([wavHeader(this.rate, this.length * 2), ...this.blobs], name, { type: "audio/wav" });
  }
}

/**
 * Begin to record. `heard(samples, level)` gets 16-bit samples and their root mean square, 0 to 1;
 * `lost()` is called if the microphone goes away.
 *
 * Returns `rate`, `seconds()` and `stop(name)`, which gives the recording as a WAV file.
 */
export async function startRecording(heard, lost) {
  const source = await microphone();
  const context = new AudioContext();
  try {
    await context.audioWorklet.addModule("/page/worklet.js");
    await context.resume();
  } catch (error) {
    source.getTracks().forEach((track) => track.stop());
    await context.close();
    throw new NoMicrophone(`The browser cannot record: ${error.message}`);
  }
  const tape = new Tape(context.sampleRate);
  const mono = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
  const capture = new AudioWorkletNode(context, "capture", mono);
  let flushed = () => {};
  capture.port.onmessage = ({ data }) => {
    tape.add(data.samples);
    heard(data.samples, data.level);
    if (data.last) flushed();
  };
  context.createMediaStreamSource(source).connect(capture);
  source.getAudioTracks()[0].onended = lost;

  async function stop(name) {
    const last = new Promise((resolve) => {
      flushed = resolve;
      // A context that the system has halted answers nothing.
      setTimeout(resolve, 500);
    });
    capture.port.postMessage("end");
    await last;
    source.getTracks().forEach((track) => track.stop());
    await context.close();
    return tape.file(name);
  }

  return { rate: context.sampleRate, seconds: () => tape.length / tape.rate, stop };
}
