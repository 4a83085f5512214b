// Elements and texts. Texts come from documents, so they become text nodes and nothing else.

const SVG = "http://www.w3.org/2000/svg";
const STEPS = 5; // of a mark's strength, as in a report
export const FIRST = 20_000; // characters of a long text that are shown at once

/** An element. Names beginning with "on" are listeners; null, undefined and false are left out. */
export function make(tag, properties, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** An element of a drawing. */
export function draw(tag, properties, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(made, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A text that does not change the direction of what is around it. */
export function isolated(text) {
  return make("bdi", null, text);
}

/** A text on one line, cut where it is long; never inside of a character. */
export function short(text, most = 120) {
  // A megabyte is not split into characters for the sake of its first line.
  const line = String(text).slice(0, most * 8).replace(/\s+/g, " ").trim();
  const letters = [...line];
  return letters.length <= most && String(text).length <= most * 8 ? line : `${letters.slice(0, most - 1).join("")}…`;
}

export function number(value) {
  return value.toLocaleString("en");
}

export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** Places counted in characters, as the service counts them, as places in a JavaScript string (UTF-16 units). */
export function unitPlaces(text, places) {
  const found = new Map();
  let unit = 0;
  let point = 0;
  for (const place of [...new Set(places)].sort((a, b) => a - b)) {
    for (; point < place && unit < text.length; point += 1) unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
    found.set(place, unit);
  }
  return found;
}

export function markStep(weight) {
  return Math.min(STEPS, Math.max(1, Math.ceil(weight * STEPS)));
}

/** A text with the words that earned the score marked. */
export function marked(text, marks = []) {
  const shown = document.createDocumentFragment();
  const places = unitPlaces(text, marks.flatMap((mark) => [mark.start, mark.end]));
  let at = 0;
  for (const mark of [...marks].sort((a, b) => a.start - b.start)) {
    const start = places.get(mark.start);
    const end = places.get(mark.end);
    if (start < at || end <= start) continue;
    shown.append(text.slice(at, start), make("mark", { class: `m${markStep(mark.weight)}` }, text.slice(start, end)));
    at = end;
  }
  shown.append(text.slice(at));
  return shown;
}

/** A text of any length: its beginning, and a button for more of it. */
export function longText(text, properties) {
  const block = make("div", { dir: "auto", ...properties });
  let shown = 0;
  const more = make("button", { type: "button", class: "plain more-text", onclick: grow });
  function grow() {
    let end = Math.min(shown + FIRST, text.length);
    // Not between the halves of one character.
    if (end < text.length && /[\udc00-\udfff]/.test(text[end])) end += 1;
    more.before(text.slice(shown, end));
    shown = end;
    const left = text.length - shown;
    more.hidden = left === 0;
    more.textContent = `Show ${number(Math.min(left, FIRST))} of ${number(left)} more characters`;
  }
  block.append(more);
  grow();
  return block;
}

const ICONS = {
  up: "M7 10.5v9.5M7 11l4.2-7.6c1.5 0 2.5 1.1 2.3 2.6L13 9.5h5.4c1.2 0 2.1 1.1 1.9 2.3l-1.2 6.4A2.2 2.2 0 0 1 17 20H4.5a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1z",
  down: "M17 13.5V4m0 9-4.2 7.6c-1.5 0-2.5-1.1-2.3-2.6l.5-3.5H5.6c-1.2 0-2.1-1.1-1.9-2.3l1.2-6.4A2.2 2.2 0 0 1 7 4h12.5a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1z",
  cross: "m6 6 12 12M18 6 6 18",
};

export function icon(name) {
  return draw("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, draw("path", { d: ICONS[name] }));
}
