// A recording to look at and listen to: waveform, a lane a voice, playhead, play and seek.

import { h, styled } from "./dom.js";
import { bars, kindAt, lane, legend, peaksOf } from "./waveform.js";
import { clock, howSure, soundsLike } from "./words.js";

const BINS = 480;
/** Seconds of a recording of which a waveform is drawn. */
const LONGEST = 1800;
const STEPS = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5 };

/** Return the segments of each voice, by its name. */
function byVoice(segments) {
  const voices = new Map();
  for (const segment of segments) {
    if (!voices.has(segment.speaker)) voices.set(segment.speaker, []);
    voices.get(segment.speaker).push(segment);
  }
  return voices;
}

/** Return who speaks in a segment, in words. */
function spoken({ speaker, gender, age }) {
  return `${speaker}: ${soundsLike(gender, age).toLowerCase()}, ${howSure(gender)}`;
}

/** Return the elements of a player. */
function parts(result, segments) {
  const rows = [...byVoice(segments)].map(([name, own]) =>
    h("div", { class: "row" }, h("span", { class: "gutter" }, name), lane(own, 0, result.duration)));
  const wave = h("div", { class: "wave" }, bars(new Float32Array(BINS), () => "quiet"));
  const head = h("div", { class: "playhead" });
  const slider = h("div", {
    class: "seek", role: "slider", tabindex: "0", "aria-label": "Position in the recording",
    "aria-valuemin": "0", "aria-valuemax": result.duration.toFixed(1), "aria-valuenow": "0",
  }, head);
  const button = h("button", { type: "button", class: "play", "aria-label": "Play" });
  return {
    slider, head, button, wave,
    time: h("span", { class: "time" }),
    turn: h("span", { class: "turn" }),
    note: h("p", { class: "note", hidden: true }),
    tracks: h("div", { class: `tracks${rows.length > 8 ? " many" : ""}` },
      h("div", { class: "row" }, h("span", { class: "gutter" }, button), wave), rows, slider),
  };
}

export class Player {
  /**
   * Args:
   *   file: the recording, which the browser may or may not be able to play.
   *   result: a prediction with segments.
   *   moved: is called with the segment under the playhead, or null, whenever that changes.
   */
  constructor(file, result, moved) {
    this.file = file;
    this.result = result;
    this.moved = moved;
    this.segments = result.segments ?? [];
    this.current = null;
    this.until = null;
    this.address = URL.createObjectURL(file);
    this.audio = h("audio", { src: this.address, preload: "metadata" });
    this.parts = parts(result, this.segments);
    this.element = h("div", { class: "player" }, this.parts.tracks,
      h("div", { class: "below" }, this.parts.time, this.parts.turn, legend()), this.parts.note, this.audio);
    this.listen();
    this.show();
    this.draw();
  }

  listen() {
    const { audio } = this;
    const { button, slider } = this.parts;
    button.addEventListener("click", () => this.toggle());
    slider.addEventListener("pointerdown", (event) => this.drag(event));
    slider.addEventListener("keydown", (event) => this.key(event));
    audio.addEventListener("play", () => this.playing());
    audio.addEventListener("pause", () => this.show());
    audio.addEventListener("seeked", () => this.show());
    audio.addEventListener("ended", () => this.show());
    audio.addEventListener("error", () => this.silence());
  }

  /** Draw the waveform once it is decoded; without one the timeline stands alone, and says so. */
  async draw() {
    const { wave } = this.parts;
    if (this.result.duration > LONGEST) {
      this.plain("Recordings of more than half an hour have no waveform here.");
      return;
    }
    this.say("Drawing the waveform …");
    try {
      const peaks = await peaksOf(this.file, BINS);
      const kind = kindAt(this.segments);
      this.parts.note.hidden = true;
      wave.replaceChildren(bars(peaks, (bin) => kind(((bin + 0.5) * this.result.duration) / BINS)));
    } catch {
      this.plain("This browser cannot decode the format: no waveform, but the timeline is exact.");
    }
  }

  plain(words) {
    this.parts.wave.classList.add("plain");
    this.parts.wave.replaceChildren(lane(this.segments, 0, this.result.duration));
    if (!this.audio.error) this.say(words);
  }

  say(words) {
    this.parts.note.hidden = false;
    this.parts.note.textContent = words;
  }

  /** The browser cannot play the file: nothing that plays is left active. */
  silence() {
    this.parts.button.disabled = true;
    this.element.dispatchEvent(new Event("silent", { bubbles: true }));
    this.say("This browser cannot play the format. The answers and the timeline are exact all the same.");
  }

  toggle() {
    this.until = null;
    if (this.audio.paused) this.start();
    else this.audio.pause();
  }

  start() {
    // What the browser cannot play has been told by its "error" event.
    this.audio.play().catch(() => {});
  }

  /** Play one segment, from its start to its end. */
  play(segment) {
    this.audio.currentTime = segment.start;
    this.until = segment.end;
    this.start();
  }

  playing() {
    for (const other of document.querySelectorAll("audio")) if (other !== this.audio) other.pause();
    const step = () => {
      if (this.until !== null && this.audio.currentTime >= this.until) {
        this.until = null;
        this.audio.pause();
      }
      this.show();
      if (!this.audio.paused) requestAnimationFrame(step);
    };
    step();
  }

  seek(time) {
    this.until = null;
    this.audio.currentTime = Math.max(0, Math.min(this.result.duration, time));
    this.show();
  }

  drag(event) {
    const { slider } = this.parts;
    const box = slider.getBoundingClientRect();
    const follow = ({ clientX }) => this.seek(((clientX - box.left) / box.width) * this.result.duration);
    slider.setPointerCapture(event.pointerId);
    follow(event);
    slider.addEventListener("pointermove", follow);
    const end = () => slider.removeEventListener("pointermove", follow);
    slider.addEventListener("lostpointercapture", end, { once: true });
  }

  key(event) {
    const { duration } = this.result;
    const far = { PageUp: duration / 10, PageDown: -duration / 10, Home: -Infinity, End: Infinity };
    const step = STEPS[event.key] ?? far[event.key];
    if (step !== undefined) this.seek(this.audio.currentTime + step);
    else if (event.key === " " || event.key === "Enter") this.toggle();
    else return;
    event.preventDefault();
  }

  /** Bring everything that shows the position up to date. */
  show() {
    const { slider, head, button, time, turn } = this.parts;
    const { currentTime: now, paused } = this.audio;
    const { duration } = this.result;
    const under = this.segments.find((segment) => segment.start <= now && now < segment.end) ?? null;
    const words = under ? spoken(under) : "";
    const position = `${clock(now)} of ${clock(duration)}`;
    styled(head, { left: `${Math.min(100, (100 * now) / duration)}%` });
    slider.setAttribute("aria-valuenow", now.toFixed(1));
    slider.setAttribute("aria-valuetext", words ? `${position}, ${words}` : position);
    button.setAttribute("aria-label", paused ? "Play" : "Pause");
    button.classList.toggle("on", !paused);
    time.textContent = `${clock(now)} / ${clock(duration)}`;
    turn.textContent = words;
    if (under !== this.current) {
      this.current = under;
      this.moved(under);
    }
  }

  /** Give the recording back: the page forgets it. */
  close() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    URL.revokeObjectURL(this.address);
  }
}
