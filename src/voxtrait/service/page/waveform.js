// Waveforms and timelines as pictures that take their colours from the style sheet.

import { h, svg } from "./dom.js";
import { kindOf } from "./words.js";

/** Samples a second that are decoded: enough to see, and half an hour of them fits a phone's memory. */
const RATE = 8000;
/** Bytes of a file that are decoded at most. */
const LARGEST = 300e6;

/**
 * Return the peaks of a recording, 0 to 1, in so many bins of equal length.
 *
 * Throws if the browser cannot decode the format, or the file is too large for that.
 */
export async function peaksOf(file, bins) {
  if (file.size > LARGEST) throw new RangeError("too large");
  const context = new OfflineAudioContext(1, 1, RATE);
  const audio = await context.decodeAudioData(await file.arrayBuffer());
  const peaks = new Float32Array(bins);
  for (let channel = 0; channel < audio.numberOfChannels; channel += 1) {
    const samples = audio.getChannelData(channel);
    for (let i = 0; i < samples.length; i += 1) {
      const bin = Math.floor((i / samples.length) * bins);
      const size = Math.abs(samples[i]);
      if (size > peaks[bin]) peaks[bin] = size;
    }
  }
  return peaks;
}

/** Return a function from seconds to what speaks then: woman, man, unsure, or quiet. */
export function kindAt(segments) {
  let next = 0;
  // Times are asked for in order: one walk through the segments is enough.
  return (time) => {
    while (next < segments.length && segments[next].end <= time) next += 1;
    return next < segments.length && segments[next].start <= time ? kindOf(segments[next].gender) : "quiet";
  };
}

/** Return bars of the heights 0 to `loudest`, each in the colour of what `kind(bin)` names. */
export function bars(heights, kind, loudest = Math.max(...heights, 0.02)) {
  const paths = { quiet: "", woman: "", man: "", unsure: "" };
  heights.forEach((height, bin) => {
    const half = Math.max(1, (48 * height) / loudest).toFixed(1);
    paths[kind(bin)] += `M${bin + 0.15} ${50 - half}h.7v${2 * half}h-.7z`;
  });
  return svg(
    "svg",
    { class: "bars", viewBox: `0 0 ${heights.length} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    Object.entries(paths).map(([name, d]) => svg("path", { class: name, d })),
  );
}

/** Return a lane of segments; between `start` and `start + length` seconds lies its whole width. */
export function lane(segments, start, length) {
  const part = (seconds) => `${(100 * seconds) / length}%`;
  const blocks = segments.map((segment) => {
    const from = Math.max(segment.start, start);
    const kind = kindOf(segment.gender);
    const place = { x: part(from - start), width: part(segment.end - from), y: 0, height: "100%" };
    return svg("rect", { fill: `url(#fill-${kind})`, ...place });
  });
  return svg("svg", { class: "lane", "aria-hidden": "true" }, blocks);
}

/** Return the legend of the colours and patterns. */
export const legend = () =>
  h("p", { class: "legend" }, [["woman", "woman"], ["man", "man"], ["unsure", "unsure"]].map(([kind, name]) =>
    h("span", {}, h("i", { class: `swatch ${kind}` }), name)));
