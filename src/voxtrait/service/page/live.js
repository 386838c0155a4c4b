// The live view: what is heard of the microphone while somebody speaks.

import { announce, button, h, styled } from "./dom.js";
import { estimatePanels, inShort } from "./estimates.js";
import { startRecording } from "./recorder.js";
import { startStream } from "./stream.js";
import { bars, kindAt, lane } from "./waveform.js";
import { clock, soundsLike } from "./words.js";

/** Seconds that the moving picture shows, and bars in a second of it. */
const SHOWN = 30;
const FINENESS = 8;

/** Return a level on a scale of decibels: 0 is -60 dB or less, 1 is full scale. */
const loudness = (level) => Math.max(0, Math.min(1, 1 + (20 * Math.log10(level + 1e-9)) / 60));

/** The last seconds as bars, newest at the right. */
class Levels {
  constructor() {
    this.heights = [];
    this.seconds = 0;
  }

  add(level, seconds) {
    this.seconds += seconds;
    const bin = Math.floor(this.seconds * FINENESS);
    while (this.heights.length < bin) this.heights.push(0);
    this.heights[bin] = Math.max(this.heights[bin] ?? 0, loudness(level));
  }

  picture(turns) {
    const first = Math.max(0, this.heights.length - SHOWN * FINENESS);
    const kind = kindAt(turns);
    const kinds = Array.from({ length: SHOWN * FINENESS }, (_, bin) => kind((first + bin + 0.5) / FINENESS));
    const heights = this.heights.slice(first);
    while (heights.length < kinds.length) heights.push(0);
    const from = first / FINENESS;
    return [
      bars(heights, (bin) => kinds[bin], 1),
      lane(turns.filter((turn) => turn.end > from), from, SHOWN),
    ];
  }
}

/** Return what a recording that begins now is called. */
function nameOfNow() {
  const now = new Date();
  const two = (number) => String(number).padStart(2, "0");
  return `Recording ${[now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(".")}.wav`;
}

/** The elements of the live view. */
function view(stop) {
  const scale = { "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "0" };
  return {
    time: h("span", { class: "clock" }, "0:00"),
    level: h("b", {}),
    meter: h("div", { class: "meter", role: "meter", "aria-label": "Microphone level", ...scale }),
    picture: h("div", { class: "levels" }),
    now: h("p", { class: "now" }, "Say something"),
    soFar: h("p", { class: "note", hidden: true }, "Everything so far:"),
    estimates: h("div", {}),
    note: h("p", { class: "note", role: "alert", hidden: true }),
    stop: button(stop, { class: "primary" }, h("span", { class: "square", "aria-hidden": "true" }), "Stop"),
  };
}

export class Live {
  /**
   * Args:
   *   panel: the element to fill.
   *   house: what the page knows: `model()`, `decided(title)`.
   *   ended: is called with the recording (a WAV file) and its result, or null if there is none.
   */
  constructor(panel, house, ended) {
    this.house = house;
    this.ended = ended;
    this.levels = new Levels();
    this.turns = [];
    this.said = "";
    this.stopping = false;
    this.parts = view(() => this.stop());
    const { meter, level, stop, time, picture, now, soFar, estimates, note } = this.parts;
    meter.append(level);
    panel.replaceChildren(h("div", { class: "controls" }, stop, time, meter), picture, now, soFar, estimates, note);
  }

  /** Ask for the microphone and begin. Throws `NoMicrophone`. */
  async start() {
    this.recording = await startRecording(
      (samples, level) => this.heard(samples, level),
      () => this.stop(),
    );
    this.name = nameOfNow();
    this.finished = new Promise((resolve) => {
      const final = (result) => {
        resolve(result);
        this.stop(); // It may be the service that ends a stream: when it is too long, or the service stops.
      };
      this.stream = startStream(
        { rate: this.recording.rate, model: this.house.model(), name: this.name },
        { update: (message) => this.update(message), final, fault: (error) => resolve(this.fault(error)) },
      );
    });
  }

  /** The panel is on the page now. */
  begin() {
    this.parts.stop.focus();
    announce("Recording");
  }

  heard(samples, level) {
    const { meter, level: bar, time, picture } = this.parts;
    this.stream.push(samples);
    const before = Math.floor(this.levels.seconds * FINENESS);
    this.levels.add(level, samples.length / this.recording.rate);
    const share = loudness(level);
    styled(bar, { width: `${100 * share}%` });
    meter.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    time.textContent = clock(this.levels.seconds);
    if (Math.floor(this.levels.seconds * FINENESS) === before) return;
    picture.replaceChildren(...this.levels.picture(this.turns));
  }

  update({ gender, age, turns, speaking }) {
    const { now, soFar, estimates } = this.parts;
    const last = turns.at(-1);
    this.turns = turns;
    if (last?.open) now.replaceChildren("Now: ", h("b", {}, inShort(last.gender, last.age).toLowerCase()));
    else now.textContent = speaking ? "Listening" : "Nobody speaks";
    if (!gender) return;
    soFar.hidden = false;
    estimates.replaceChildren(estimatePanels(gender, age, this.house.decided(null)));
    const words = soundsLike(gender, age);
    // Every half second would be too much to listen to: the words are said when they change.
    if (words !== this.said) announce(words);
    this.said = words;
  }

  /** The live answers are lost, the recording is not: it is heard as a file when it stops. */
  fault(error) {
    const { note } = this.parts;
    note.hidden = false;
    note.textContent = `No live answers: ${error.message} The recording goes on here and is heard when you stop.`;
    return null;
  }

  /** Stop, and hand over the recording with its result. */
  async stop() {
    if (this.stopping) return;
    this.stopping = true;
    this.parts.stop.disabled = true;
    this.parts.now.textContent = "Listening to the end";
    const file = await this.recording.stop(this.name);
    this.stream.end();
    this.ended(file, await this.finished);
  }
}
