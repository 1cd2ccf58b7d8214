// Small helpers to make and change elements. Text is always set as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Changes an element only if it has to: a status region would announce each change.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

// Keeps one element for each key, in the order of `items`, so that focus and input survive.
export class Keyed {
  #parent;
  #elements = new Map();

  constructor(parent) {
    this.#parent = parent;
  }

  show(items, keyOf, create, update) {
    const keys = new Set(items.map(keyOf));
    for (const [key, view] of this.#elements) {
      if (!keys.has(key)) {
        view.element.remove();
        this.#elements.delete(key);
      }
    }
    for (const item of items) {
      const key = keyOf(item);
      let view = this.#elements.get(key);
      if (!view) {
        view = create(item);
        this.#elements.set(key, view);
        this.#parent.append(view.element);
      }
      update(view, item);
    }
  }
}

export const shortName = (sample) => sample.replace(/^crud\//, "");

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const whole = (value) => (value === null || value === undefined ? "–" : numbers.format(value));

export function rate(value) {
  if (value === null || value === undefined) return "–";
  return value >= 0.05 && value < 10 ? value.toFixed(1) : numbers.format(value);
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1000 ? `${numbers.format(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString("en-GB");
