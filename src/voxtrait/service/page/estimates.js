// Gender and age answers, as the live view and the results show them.

import { ageCurve } from "./agecurve.js";
import { h, styled } from "./dom.js";
import { aboutAge, chance, hasAge, howSure, percent, soundsLike } from "./words.js";

/**
 * Return the bar of a gender answer, women's share from the left.
 *
 * `decided` is the probability from which the model decides (0.95), or null if that is not known: between
 * its two sides the label is "unsure".
 */
export function genderBar(gender, decided) {
  const share = `${100 * gender.female}%`;
  const zone = decided > 0.5 && h("div", { class: "zone" }, h("span", {}, "unsure in between"));
  if (zone) styled(zone, { left: `${100 * (1 - decided)}%`, right: `${100 * (1 - decided)}%` });
  return h(
    "div",
    { class: "gender-bar" },
    h("div", { class: "ends" },
      h("span", {}, h("i", { class: "swatch woman" }), `woman ${chance(gender.female)}`),
      h("span", {}, `man ${chance(gender.male)}`, h("i", { class: "swatch man" }))),
    h("div", { class: "split", "aria-hidden": "true" },
      styled(h("b", { class: "fill woman" }), { width: share }), h("b", { class: "fill man" })),
    zone,
  );
}

/** Return the two panels of an answer: gender with its bar, age with its curve. */
export function estimatePanels(gender, age, decided) {
  return h(
    "div",
    { class: "estimates" },
    h("div", { class: "estimate" },
      h("h4", {}, "Gender"),
      h("p", { class: "figure" }, soundsLike(gender, age)),
      genderBar(gender, decided)),
    h("div", { class: "estimate" },
      h("h4", {}, "Age"),
      hasAge(age)
        ? [
            h("p", { class: "figure" }, `About ${Math.round(age.years)}`,
              h("small", {}, `${Math.round(age.low)} to ${Math.round(age.high)}, ${inTen(age.coverage)}`)),
            ageCurve(age),
          ]
        : h("p", {}, "This model does not tell ages.")),
  );
}

function inTen(coverage) {
  const tenths = coverage * 10;
  return Math.abs(tenths - Math.round(tenths)) < 1e-6 ? `${Math.round(tenths)} in 10` : percent(coverage);
}

/** Return an answer in one line, such as "sounds like a man, 98 %, about 34 (26 to 45)". */
export function inShort(gender, age) {
  const words = `${soundsLike(gender, age)}, ${howSure(gender)}`;
  return hasAge(age) ? `${words}, ${aboutAge(age)}` : words;
}
