// Elements made by calls. Nothing here takes markup: what a file is called cannot become a script.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child || child === ""));
  return element;
}

/** Make an HTML element; `on…` attributes are listeners, children that are null, undefined or false are left out. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Make a button that calls `pressed`. */
export const button = (pressed, attributes, ...children) =>
  h("button", { type: "button", onclick: pressed, ...attributes }, ...children);

/** Make an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Set properties of an element's style: style attributes are forbidden by the page's policy. */
export function styled(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Say something to people who do not see the page. */
export function announce(text) {
  byId("said").textContent = text;
}

let numbered = 0;
/** Return an id that no element has yet. */
export const newId = (stem) => `${stem}-${++numbered}`;

/** Offer a blob to the browser's downloads. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  // The download has begun once the click's events are through; browsers say no earlier moment.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
