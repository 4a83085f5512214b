// The token map of a hit: which token of the document each token of the query matched. It is built as the page of
// `tardif explain --html` is, so both have the same style rules (explained.css).

import { draw, isolated, make, markStep, number, short, unitPlaces } from "./texts.js";

const LEVELS = 9;
const MOST_COLUMNS = 60;
const CHOICES = 160; // query tokens that a person may choose among
const BEYOND = 400; // characters shown of what the model did not read
const CURVE = 1.6; // tints deepen faster than similarities
const CELL = 22;
const GAP = 7;
const LETTER = 7.3;

let count = 0;

/** An explanation, drawn. */
export function tokenMap(explanation) {
  const model = modelOf(explanation);
  const parts = partsOf(explanation, model);
  const said = make("p", { class: "said", role: "status" });
  const root = make("div", { class: "explained" });
  const heat = heatMap(explanation, model);
  const choose = (chosen) => {
    root.classList.toggle("choosing", chosen !== null);
    for (const part of parts) part.show(chosen);
    for (const stroke of heat.querySelectorAll("path[data-row]")) {
      stroke.classList.toggle("dim", chosen !== null && Number(stroke.dataset.row) !== chosen);
    }
    said.replaceChildren(...sentence(explanation, model, chosen));
  };
  const text = make("div", { class: "text", dir: "auto" }, ...parts.map((part) => part.node));
  const left = explanation.document.length - model.until;
  if (left > 0) text.append(make("em", null, ` … (${number(left)} more characters, which the model does not read)`));
  root.append(chips(explanation, choose), said, text);
  if (explanation.note) root.append(make("p", { class: "remark" }, isolated(explanation.note)));
  root.append(
    make("details", null, make("summary", null, "The score is the sum of the matches"), matchTable(explanation, model)),
    make("details", null, make("summary", null, "Heat map"), heat),
  );
  choose(null);
  return root;
}

/** The query's tokens outside of its text that occur twice and more: its expansion, which would hide the words. */
function isRepeated(explanation, row) {
  const { text, start } = explanation.query_tokens[row];
  return start === null && explanation.query_tokens.filter((token) => token.start === null && token.text === text).length > 1;
}

/** Numbers that all parts of the drawing use. */
function modelOf(explanation) {
  const { query_tokens: asked, document_tokens: read, matches } = explanation;
  const values = explanation.similarities ?? asked.map((_, row) => read.map((__, column) => matched(matches[row], column)));
  const all = values.flat().sort((a, b) => a - b);
  const low = all.length ? Math.floor(all[Math.floor(all.length / 2)] * 10) / 10 : 0;
  const high = Math.max(all.length ? Math.ceil(all.at(-1) * 10 - 1e-6) / 10 : 1, low + 0.1);
  const places = unitPlaces(explanation.document, [
    ...read.flatMap((token) => [token.start ?? 0, token.end ?? 0]),
    ...(explanation.marks ?? []).flatMap((mark) => [mark.start, mark.end]),
  ]);
  const last = Math.max(0, ...read.map((token) => places.get(token.end ?? 0)));
  let until = Math.min(last + BEYOND, explanation.document.length);
  if (/[\udc00-\udfff]/.test(explanation.document[until] ?? "")) until += 1;
  return { values, low, high, places, until };
}

function matched(match, column) {
  return tokensOf(match).includes(column) ? match.similarity : 0;
}

function tokensOf(match) {
  return match.document_tokens ?? [match.document_token];
}

function label(text) {
  return short(text, 18) || "␣";
}

function chips(explanation, choose) {
  const name = `token-${(count += 1)}`;
  const radio = (chosen, isFirst) => make("input", { type: "radio", name, checked: isFirst, onchange: () => choose(chosen) });
  const tokens = explanation.query_tokens.slice(0, CHOICES).map((token, place) => {
    const isWord = token.start !== null && /[\p{L}\p{N}]/u.test(token.text);
    const chip = make("span", null, isolated(label(token.text)));
    chip.style.setProperty("--v", Math.max(explanation.matches[place].similarity, 0).toFixed(2));
    return make("label", { class: isWord ? "token one" : "token one aside", hidden: isRepeated(explanation, place) }, radio(place, false), chip);
  });
  const hidden = tokens.filter((token) => token.hidden);
  const reveal = () => {
    hidden.forEach((token) => (token.hidden = false));
    hidden[0].querySelector("input").focus();
    more.remove();
  };
  const more = hidden.length ? make("button", { type: "button", class: "plain fold", onclick: reveal }, `+ ${hidden.length} ${label(explanation.query_tokens[tokens.indexOf(hidden[0])].text)}`) : "";
  return make(
    "fieldset",
    { class: "choice" },
    make("legend", { class: "lead" }, "The query’s tokens. Choose one to see what it matched"),
    make("div", { class: "tokens", dir: "auto" }, make("label", { class: "token every" }, radio(null, true), make("span", null, "all")), ...tokens, more),
  );
}

function sentence(explanation, model, chosen) {
  if (chosen === null) {
    return ["Marked words stand out from the document’s other words for a word of the query; the darker, the more clearly."];
  }
  const match = explanation.matches[chosen];
  const named = (place) => isolated(label(explanation.document_tokens[place].text));
  const bold = (...inside) => make("b", null, ...inside);
  const others = nextBest(explanation, model, chosen).flatMap((place, n) => [
    n ? ", " : ", then ",
    named(place),
    ` ${model.values[chosen][place].toFixed(3)}`,
  ]);
  const won = tokensOf(match).flatMap((place, n) => [n ? " + " : "", named(place)]);
  return [
    bold(isolated(label(explanation.query_tokens[chosen].text))), " matched ", bold(...won), ` ${match.similarity.toFixed(3)}`, ...others,
    ". The text is tinted by the similarity of each token with it.",
  ];
}

/** The two tokens most similar after the match, of other characters. */
function nextBest(explanation, model, row) {
  const text = (place) => explanation.document_tokens[place].text.toLowerCase();
  const seen = new Set(tokensOf(explanation.matches[row]).map(text));
  const found = [];
  for (const place of sortedBy(model.values[row])) {
    if (seen.has(text(place))) continue;
    seen.add(text(place));
    found.push(place);
    if (found.length === 2) break;
  }
  return found;
}

function sortedBy(values) {
  return values.map((_, place) => place).sort((a, b) => values[b] - values[a] || a - b);
}

/** The document's text, cut at the borders of tokens and marks. Each part shows the chosen token by itself. */
function partsOf(explanation, model) {
  const { document: text, matches, marks = [] } = explanation;
  const at = (place) => model.places.get(place);
  const spans = explanation.document_tokens
    .map((token, number) => ({ number, start: at(token.start ?? 0), end: at(token.end ?? 0) }))
    .filter((span) => span.end > span.start);
  const marksAt = marks.map((mark) => ({ ...mark, start: at(mark.start), end: at(mark.end) }));
  const edges = [...spans, ...marksAt].flatMap((span) => [span.start, span.end]).filter((edge) => edge < model.until);
  const borders = [...new Set([0, model.until, ...edges])].sort((a, b) => a - b);
  const place = new Map(borders.map((border, number) => [border, number]));
  const inside = borders.map(() => []);
  for (const span of spans) {
    for (let n = place.get(span.start); n < borders.length && borders[n] < span.end; n += 1) inside[n].push(span.number);
  }
  return borders.slice(0, -1).map((start, n) => {
    const mark = marksAt.find((one) => one.start <= start && start < one.end);
    return part(text.slice(start, borders[n + 1]), mark, inside[n], model, matches);
  });
}

function part(text, mark, tokens, model, matches) {
  const plain = tokens.length ? make("span", { class: "part" }, text) : document.createTextNode(text);
  const node = mark ? make("mark", { class: `m${markStep(mark.weight)}` }, plain) : plain;
  const tint = (row) => Math.max(...tokens.map((token) => (model.values[row][token] - model.low) / (model.high - model.low)));
  return {
    node,
    show(chosen) {
      if (!tokens.length) return;
      const depth = chosen === null ? 0 : Math.min(1, Math.max(0, tint(chosen))) ** CURVE;
      plain.style.setProperty("--h", Math.round(100 * depth));
      plain.classList.toggle("won", chosen !== null && tokensOf(matches[chosen]).some((token) => tokens.includes(token)));
    },
  };
}

function matchTable(explanation, model) {
  const cell = (place) => isolated(label(explanation.document_tokens[place].text));
  const matches = [...explanation.matches.keys()];
  const folded = matches.filter((row) => isRepeated(explanation, row));
  const rows = matches.filter((row) => !folded.includes(row)).map((row) => {
    const match = explanation.matches[row];
    const bar = make("i");
    bar.style.setProperty("width", `${Math.round(100 * Math.min(1, Math.max(0, match.similarity)))}%`);
    const others = nextBest(explanation, model, row).flatMap((place, n) => [n ? ", " : "", cell(place), ` ${model.values[row][place].toFixed(3)}`]);
    return make(
      "tr",
      { class: explanation.query_tokens[row].start === null ? "aside" : null },
      make("th", { scope: "row" }, isolated(label(explanation.query_tokens[row].text))),
      make("td", null, ...tokensOf(match).flatMap((place, n) => [n ? " + " : "", cell(place)])),
      make("td", { class: "value" }, make("span", { class: "bar" }, bar), match.similarity.toFixed(3)),
      make("td", null, ...others),
    );
  });
  const heads = ["query token", "best match", "similarity", "next best"].map((name) => make("th", { scope: "col" }, name));
  return make(
    "table",
    { class: "matches" },
    make("caption", { class: "unseen" }, "What each token of the query matched"),
    make("thead", null, make("tr", null, ...heads)),
    make("tbody", null, ...rows, ...foldedRow(explanation, folded)),
    make("tfoot", null, make("tr", null, make("th", { scope: "row" }, "score"), make("td"), make("td", { class: "value" }, explanation.score.toFixed(3)), make("td"))),
  );
}

/** One row for the query's expansion: how much it adds to the score. */
function foldedRow(explanation, folded) {
  if (!folded.length) return [];
  const sum = folded.reduce((total, row) => total + explanation.matches[row].similarity, 0);
  const name = `${folded.length} × ${label(explanation.query_tokens[folded[0]].text)}`;
  return [make("tr", { class: "aside" }, make("th", { scope: "row" }, name), make("td", null, "fills up the query"), make("td", { class: "value" }, sum.toFixed(3)), make("td"))];
}

/** The tokens that won a match and the next best of each, or the whole of a short document. */
function columnsOf(explanation, model) {
  const of = explanation.document_tokens.length;
  if (of <= MOST_COLUMNS) return explanation.document_tokens.map((_, place) => place);
  const won = new Set(explanation.matches.flatMap(tokensOf));
  const value = new Map();
  explanation.matches.forEach((match, row) => {
    for (const place of [...tokensOf(match), ...nextBest(explanation, model, row)]) {
      value.set(place, Math.max(value.get(place) ?? -Infinity, model.values[row][place]));
    }
  });
  const order = (a, b) => won.has(b) - won.has(a) || value.get(b) - value.get(a) || a - b;
  return [...value.keys()].sort(order).slice(0, MOST_COLUMNS).sort((a, b) => a - b);
}

function heatMap(explanation, model) {
  const columns = columnsOf(explanation, model);
  const asked = [...explanation.matches.keys()].filter((row) => !isRepeated(explanation, row));
  const rows = asked.map((row) => label(explanation.query_tokens[row].text));
  const heads = columns.map((place) => label(explanation.document_tokens[place].text));
  const xs = [];
  columns.forEach((place, n) => xs.push(n ? xs[n - 1] + CELL + (place === columns[n - 1] + 1 ? 0 : GAP) : 0));
  const top = widest(heads) + 10;
  const height = top + CELL * rows.length;
  const side = widest(rows) + 8;
  const names = rows.map((name, row) => draw("text", { x: side - 8, y: top + CELL * row + 15, "text-anchor": "end" }, name));
  const drawn = [
    ...columns.map((_, n) => draw("rect", { class: "l0", x: xs[n], y: top, width: CELL - 1, height: CELL * rows.length - 1 })),
    ...asked.flatMap((row, n) => strokes(model, columns, xs, row, top + CELL * n)),
    ...asked.flatMap((row, n) => frames(explanation.matches[row], columns, xs, top + CELL * n)),
    ...heads.map((name, n) => draw("text", { transform: `translate(${xs[n] + 15} ${top - 6}) rotate(-90)` }, name)),
  ];
  const width = (xs.at(-1) ?? 0) + CELL;
  const of = explanation.document_tokens.length;
  const shown = columns.length < of ? `the ${columns.length} tokens of the document that matched best, of ${number(of)}` : "the document’s tokens";
  return make(
    "figure",
    null,
    make("figcaption", null, "Similarity of the query’s and the document’s tokens"),
    make("p", { class: "remark" }, `Rows are the query’s tokens. Columns are ${shown}.`),
    make(
      "div",
      { class: "heat" },
      sized(draw("svg", { class: "names", "aria-hidden": "true" }, ...names), side, height),
      make(
        "div",
        { class: "scroller", tabindex: "0", role: "group", "aria-label": "Heat map; the table of matches says the same" },
        sized(draw("svg", { class: "cells", role: "img", "aria-label": "Heat map" }, ...drawn), width, height),
      ),
    ),
    key(model),
  );
}

function strokes(model, columns, xs, row, y) {
  const paths = new Map();
  columns.forEach((column, n) => {
    const share = (model.values[row][column] - model.low) / (model.high - model.low);
    const level = Math.ceil(Math.min(1, Math.max(0, share)) * LEVELS - 1e-6);
    if (level > 0) paths.set(level, `${paths.get(level) ?? ""}M${xs[n]} ${y + CELL / 2 - 0.5}h${CELL - 1}`);
  });
  return [...paths].map(([level, d]) => draw("path", { class: `l${level}`, d, "data-row": row }));
}

function frames(match, columns, xs, y) {
  const size = CELL - 2.5;
  const found = tokensOf(match).map((token) => columns.indexOf(token)).filter((place) => place >= 0);
  return found.map((place) => draw("rect", { class: "best", x: xs[place] + 0.75, y: y + 0.75, width: size, height: size }));
}

function key(model) {
  const steps = Array.from({ length: LEVELS }, (_, n) => draw("path", { class: `l${n + 1}`, d: `M${12 * n} 6h12` }));
  const drawn = sized(draw("svg", { class: "steps", "aria-hidden": "true" }, ...steps), 12 * LEVELS, 12);
  return make("p", { class: "key" }, `similarity ${model.low.toFixed(1)} `, drawn, ` ${model.high.toFixed(1)}. A frame: the best match of its row.`);
}

function sized(svg, width, height) {
  for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) svg.setAttribute(name, value);
  return svg;
}

/** The width of the widest label; East Asian characters and emoji are two letters wide. */
function widest(labels) {
  const wide = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/gu;
  return Math.ceil(Math.max(0, ...labels.map((text) => [...text].length + (text.match(wide)?.length ?? 0))) * LETTER);
}

