// The distribution of age as a curve over years, drawn from the probabilities of the age groups.

import { h, styled, svg } from "./dom.js";
import { aboutAge, percent } from "./words.js";

/** Age groups in order, each with the years [first, end) that it covers. */
export const GROUPS = [
  ["child", 0, 13], ["teens", 13, 20], ["twenties", 20, 30], ["thirties", 30, 40], ["forties", 40, 50],
  ["fifties", 50, 60], ["sixties", 60, 70], ["seventies", 70, 80], ["eighties", 80, 101],
];
const END = 101;
/** Cells a year. */
const FINENESS = 2;
const ROUNDS = 400;

/**
 * Return the density of age (probability a year) in cells of half a year from 0 to 101.
 *
 * Pycnophylactic interpolation (Tobler 1979): smooth, nowhere negative, and the mass over the years of
 * each group stays that group's probability. A histogram's steps at 20, 30 … say nothing of people.
 */
export function ageDensity(groups) {
  const spans = GROUPS.map(([name, first, end]) => {
    return { mass: groups[name], from: first * FINENESS, to: end * FINENESS };
  });
  let cells = new Float64Array(END * FINENESS);
  for (const { mass, from, to } of spans) cells.fill((mass / (to - from)) * FINENESS, from, to);
  for (let round = 0; round < ROUNDS; round += 1) {
    const last = cells.length - 1;
    cells = cells.map((_, i) => (cells[Math.max(i - 1, 0)] + cells[i] + cells[Math.min(i + 1, last)]) / 3);
    for (const span of spans) restoreMass(cells, span);
  }
  return cells;
}

/** Bring the cells of a group back to its mass, by a factor: that leaves none below zero. */
function restoreMass(cells, { mass, from, to }) {
  let sum = 0;
  for (let i = from; i < to; i += 1) sum += cells[i];
  const factor = sum > 0 ? (mass * FINENESS) / sum : 0;
  for (let i = from; i < to; i += 1) cells[i] *= factor;
}

const across = (years) => `${(100 * Math.min(years, END)) / END}%`;

/** Return the path under the curve between two ages, in a box of END by 100. */
function area(density, top, low, high) {
  const at = (years) => {
    const place = Math.min(Math.max(years * FINENESS - 0.5, 0), density.length - 1);
    const left = Math.floor(place);
    const right = Math.min(left + 1, density.length - 1);
    const value = density[left] + (density[right] - density[left]) * (place - left);
    return 100 - (92 * value) / top;
  };
  const points = [low];
  for (let years = Math.floor(low) + 1; years < high; years += 1) points.push(years);
  points.push(high);
  return `M${low} 100${points.map((years) => `L${years} ${at(years).toFixed(2)}`).join("")}L${high} 100Z`;
}

/** Return the figure of an age answer: curve, interval, most likely years, in words beneath. */
export function ageCurve(age) {
  const density = ageDensity(age.groups);
  const top = Math.max(...density);
  const interval = `between ${Math.round(age.low)} and ${Math.round(age.high)}`;
  const words = `Most likely ${aboutAge(age)} years: ${percent(age.coverage)} of people with this answer are ${interval}.`;
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${END} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "curve", d: area(density, top, 0, END) }),
    svg("path", { class: "interval", d: area(density, top, age.low, age.high) }),
  );
  const ticks = [0, 20, 40, 60, 80, 100].map((years) => styled(h("span", {}, String(years)), { left: across(years) }));
  const mark = styled(h("span", { class: "mark" }), { left: across(age.years) });
  const ends = [age.low, age.high].map((years) => styled(h("span", { class: "end" }), { left: across(years) }));
  return h(
    "figure",
    { class: "age-curve", role: "img", "aria-label": words },
    h("div", { class: "plot" }, picture, ends, mark),
    h("div", { class: "axis", "aria-hidden": "true" }, ticks),
  );
}
