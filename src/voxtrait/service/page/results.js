// The result of one recording: answers, timeline, voices, turns, downloads.

import { button, h, newId, styled } from "./dom.js";
import { downloads } from "./downloads.js";
import { estimatePanels, inShort } from "./estimates.js";
import { Player } from "./player.js";
import { aboutAge, clock, hasAge, howSure, kindOf, percent, preciseClock, soundsLike, voices } from "./words.js";

/** Turns from which on only those in sight are laid out. */
const MANY = 300;

/** What speaks how long, by the labels of the segments, in seconds. */
export function speakingTime(segments) {
  const seconds = { woman: 0, man: 0, unsure: 0 };
  for (const { start, end, gender } of segments) seconds[kindOf(gender)] += end - start;
  return seconds;
}

function shareBar(segments) {
  const seconds = speakingTime(segments);
  const all = seconds.woman + seconds.man + seconds.unsure;
  const names = { woman: "women", man: "men", unsure: "unsure" };
  const heard = Object.keys(names).filter((kind) => seconds[kind] > 0);
  return h(
    "div",
    { class: "shares" },
    h("div", { class: "split", "aria-hidden": "true" },
      heard.map((kind) => styled(h("b", { class: `fill ${kind}` }), { width: `${(100 * seconds[kind]) / all}%` }))),
    h("p", {}, Object.keys(names).map((kind) =>
      h("span", {}, h("i", { class: `swatch ${kind}` }),
        `${names[kind]} ${percent(seconds[kind] / all)} `, h("small", {}, clock(Math.round(seconds[kind])))))),
  );
}

function speakerRow(speaker, all, player, segments) {
  const first = segments.find((segment) => segment.speaker === speaker.speaker);
  const share = percent(speaker.speech / all);
  return h(
    "li",
    {},
    h("b", { class: "who" }, h("i", { class: `swatch ${kindOf(speaker.gender)}` }), speaker.speaker),
    h("span", { class: "share" }, share, h("small", {}, ` ${clock(Math.round(speaker.speech))}`)),
    h("span", {}, soundsLike(speaker.gender, speaker.age), h("small", {}, ` ${howSure(speaker.gender)}`)),
    h("span", {}, hasAge(speaker.age) ? aboutAge(speaker.age) : ""),
    button(() => player.play(first), { class: "small plays", "aria-label": `Play the first turn of ${speaker.speaker}` }, "Play"),
  );
}

function speakingPart(result, player) {
  const { segments, speakers } = result;
  const all = speakers.reduce((sum, speaker) => sum + speaker.speech, 0);
  return h(
    "section",
    {},
    h("h4", {}, "Speaking time"),
    shareBar(segments),
    speakers.length > 1 &&
      h("ul", { class: "speakers" }, speakers.map((speaker) => speakerRow(speaker, all, player, segments))),
  );
}

/**
 * The answers in full: of the recording, or of the voice that is chosen where there are several. All of them
 * together come last: of a woman and a man that is no answer about anybody.
 */
function estimatesPart(result, decided) {
  const rows = result.speakers.length < 2 ? [result] : [...result.speakers, { ...result, speaker: "All voices together" }];
  const shown = h("div", { "aria-live": "polite" }, estimatePanels(rows[0].gender, rows[0].age, decided));
  if (rows.length === 1) return h("section", {}, shown);
  const id = newId("voice");
  const choose = (event) => {
    const row = rows[event.target.selectedIndex];
    shown.replaceChildren(estimatePanels(row.gender, row.age, decided));
  };
  return h(
    "section",
    {},
    h("p", { class: "voice" }, h("label", { for: id }, "Answer for"),
      h("select", { id, onchange: choose }, rows.map(({ speaker }) => h("option", {}, speaker)))),
    shown,
  );
}

function turnButton(segment, player) {
  const { start, end, speaker, gender, age } = segment;
  const words = `Play ${preciseClock(start)} to ${preciseClock(end)}: ${speaker}, ${inShort(gender, age)}`;
  return button(
    () => player.play(segment),
    { class: "plays", "aria-label": words },
    h("span", { class: "when" }, `${preciseClock(start)}–${preciseClock(end)}`),
    h("span", { class: "who" }, h("i", { class: `swatch ${kindOf(gender)}` }), speaker),
    h("span", {}, soundsLike(gender, age), h("small", {}, ` ${howSure(gender)}`)),
    h("span", { class: "old" }, hasAge(age) ? aboutAge(age) : ""),
  );
}

/** Return the list of turns and a function that marks the one which plays. */
function turnsPart(segments, player) {
  const rows = new Map(segments.map((segment) => [segment, turnButton(segment, player)]));
  let marked = null;
  const element = h(
    "section",
    {},
    h("h4", {}, segments.length === 1 ? "1 turn" : `${segments.length} turns`,
      h("small", { class: "hint" }, " choose one to hear it")),
    h("ol", { class: segments.length > MANY ? "turns long" : "turns" },
      [...rows.values()].map((row) => h("li", {}, row))),
  );
  function mark(segment) {
    marked?.removeAttribute("aria-current");
    marked = rows.get(segment) ?? null;
    marked?.setAttribute("aria-current", "true");
  }
  return { element, mark };
}

function facts(result) {
  const { status, duration, speech, speakers, model } = result;
  const parts = [
    status === "ok" && voices(speakers.length),
    `${clock(duration)} long`,
    status === "ok" && `${clock(speech)} of speech`,
    model,
  ];
  return h("p", { class: "facts" }, parts.filter(Boolean).join(" · "));
}

function warnings(result) {
  const list = result.warnings ?? [];
  return list.length ? h("ul", { class: "warnings" }, list.map(({ message }) => h("li", {}, message))) : null;
}

/**
 * Return the view of a result, with `element` and `close()`.
 *
 * Args:
 *   file: the recording itself.
 *   result: a prediction with segments and speakers.
 *   formats: the downloads.
 *   decided: the probability from which the model decides a gender, or null.
 */
export function resultView(file, result, { formats, decided }) {
  let mark = () => {};
  const player = new Player(file, result, (segment) => mark(segment));
  const element = h("div", { class: "result" }, facts(result), warnings(result));
  if (result.status === "ok") {
    const turns = turnsPart(result.segments, player);
    mark = turns.mark;
    const estimates = estimatesPart(result, decided);
    const timeline = [player.element, speakingPart(result, player)];
    const inOrder = result.speakers.length > 1 ? [...timeline, estimates] : [estimates, ...timeline];
    element.append(...inOrder, turns.element);
  } else {
    element.append(
      h("p", {}, "Nobody speaks in this recording, or so faintly that no speech could be told from the noise."),
      player.element,
    );
  }
  element.append(downloads(result, formats));
  element.addEventListener("silent", () => {
    element.classList.add("silent");
    for (const play of element.querySelectorAll(".plays")) play.disabled = true;
  });
  return { element, close: () => player.close() };
}
