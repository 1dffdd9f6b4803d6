// Makes elements. Text is always set as text, so nothing that comes from data can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; `on…` functions become listeners, `null` and `false` are left out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for a drawing. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    // A custom property goes in through the object model: the page's policy forbids style attributes.
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** `element` by id. */
export const at = (id) => document.getElementById(id);

const whole = new Intl.NumberFormat("en");
/** 1842 as "1,842". */
export const count = (n) => (Number.isFinite(n) ? whole.format(n) : "–");

/** Microseconds in the unit a person would use. */
export function time(microseconds) {
  if (!Number.isFinite(microseconds)) return "–";
  if (microseconds < 1000) return `${Math.round(microseconds)} µs`;
  if (microseconds < 1e6) return `${(microseconds / 1000).toFixed(microseconds < 1e4 ? 1 : 0)} ms`;
  return `${(microseconds / 1e6).toFixed(2)} s`;
}

/** A share of one as ".0513"; other numbers with the digits that matter. */
export function share(x) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x) >= 1 ? Number(Math.abs(x).toPrecision(4)).toString() : Math.abs(x).toFixed(4).replace(/^0\./, ".");
  return x < 0 ? `−${size}` : size;
}

/** One of several, in words: `plural(2, "title")` is "2 titles". */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

/** Text as a sentence: a capital and a full stop. */
export const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}` : "");

/** An error for a person: what did not happen, what went wrong, what to do. */
export const inWords = (what, error) => [`${what}: ${error.message}${/[.!?…]$/.test(error.message) ? "" : "."}`, sentence(error.hint)].filter(Boolean).join(" ");
