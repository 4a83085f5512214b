// The bar below the search box: a button for each field of the metadata, for any other filter, and for options.
// The state is the list of clauses; the controls show it and change it.

import { oneOf, parsed, test, wayText } from "./filters.js";
import { icon, isolated, make, number, short } from "./texts.js";

const MOST_FIELDS = 8;
const DAY = 10; // characters of an ISO date
const SYNTAX = [
  ["lang = 'en' and year >= 2020", "both hold"],
  ["lang in ('en', 'fr') or lang is missing", "one of them, or none is there"],
  ["not tags = 'draft'", "no tag is draft"],
  ["title like 'How to %'", "a pattern"],
  ["\"first published\" < '2024-02-01'", "a key with a space; dates are texts"],
];

export class FilterBar {
  /**
   * @param place the element that it fills
   * @param changed called with what is new of the state: {filters}, {k}, {hybrid}, {exact}
   */
  constructor(place, changed) {
    this.place = place;
    this.changed = changed;
    this.clauses = [];
    this.controls = [];
    place.addEventListener("toggle", put, true);
  }

  /** Make the controls of an index. */
  open(index) {
    const fields = index.fields ?? [];
    this.controls = fields.map((field) => new FieldControl(field, (control, clauses) => this.#replace(control, clauses)));
    const shown = this.controls.slice(0, MOST_FIELDS).map((control) => control.pill);
    const rest = this.controls.slice(MOST_FIELDS);
    this.chips = make("span", { class: "chips" });
    this.clear = make("button", { type: "button", class: "quiet", onclick: () => this.changed({ filters: [] }) }, "Clear all");
    this.place.replaceChildren(
      ...shown.flat(),
      ...(rest.length ? moreFields(rest) : []),
      ...this.#expression(),
      ...this.#options(index),
      this.chips,
      this.clear,
    );
    this.#show();
  }

  /** Show a state that came from elsewhere, such as the address. */
  sync(state) {
    this.clauses = [...state.filters];
    this.sizes.forEach((box) => (box.checked = Number(box.value) === state.k));
    this.hybrid.checked = state.hybrid;
    this.exact.checked = state.exact;
    this.#show();
  }

  /** Add a value that a person chose in a hit. */
  add(way, value) {
    const key = wayText(way);
    const control = this.controls.find((one) => one.key === key);
    if (control?.choices.some((choice) => choice.value === value)) {
      const chosen = new Set(control.chosen()).add(value);
      this.#replace(control, [oneOf(key, [...chosen])]);
      return;
    }
    const clause = test(key, "=", value);
    if (!this.clauses.includes(clause)) this.changed({ filters: [...this.clauses, clause] });
  }

  /** A refused filter: its own control says so. */
  fault(isFaulty) {
    this.text.setAttribute("aria-invalid", String(isFaulty));
    this.chips.classList.toggle("faulty", isFaulty);
  }

  #replace(control, clauses) {
    const kept = this.clauses.filter((clause) => !control.reads(parsed(clause)));
    this.changed({ filters: [...kept, ...clauses] });
  }

  #show() {
    const owned = new Set();
    for (const control of this.controls) {
      const own = this.clauses.filter((clause) => control.reads(parsed(clause)));
      own.forEach((clause) => owned.add(clause));
      control.show(own.map(parsed));
    }
    const free = this.clauses.filter((clause) => !owned.has(clause));
    this.chips.replaceChildren(...free.map((clause) => this.#chip(clause)));
    this.clear.hidden = this.clauses.length === 0;
  }

  #chip(clause) {
    const drop = () => this.changed({ filters: this.clauses.filter((one) => one !== clause) });
    const edit = () => {
      drop();
      this.text.value = clause;
      this.panel.showPopover();
      this.text.focus();
    };
    return make(
      "span",
      { class: "chip-filter" },
      make("button", { type: "button", class: "chip-text", title: "Edit", "aria-label": `Edit the filter ${clause}`, onclick: edit }, isolated(short(clause, 60))),
      make("button", { type: "button", class: "chip-drop", "aria-label": `Remove the filter ${clause}`, onclick: drop }, icon("cross")),
    );
  }

  #expression() {
    this.text = make("input", { type: "text", spellcheck: "false", autocapitalize: "off", "aria-label": "Filter", placeholder: "year >= 2020 and not tags = 'draft'" });
    const form = make(
      "form",
      { onsubmit: (event) => this.#typed(event) },
      make("div", { class: "row" }, this.text, make("button", { type: "submit", class: "go" }, "Add")),
    );
    const rows = SYNTAX.map(([written, says]) => make("div", null, make("dt", null, make("code", null, written)), make("dd", null, says)));
    const [button, panel] = pill("Filter by …", "A filter in words", form, make("dl", { class: "syntax" }, ...rows));
    button.classList.add("add");
    this.panel = panel;
    return [button, panel];
  }

  #typed(event) {
    event.preventDefault();
    const clause = this.text.value.trim();
    this.panel.hidePopover();
    this.text.value = "";
    if (clause && !this.clauses.includes(clause)) this.changed({ filters: [...this.clauses, clause] });
  }

  #options(index) {
    const size = (value) => make("input", { type: "radio", name: "k", value, onchange: () => this.changed({ k: value }) });
    this.sizes = [10, 20, 50].map(size);
    this.hybrid = make("input", { type: "checkbox", onchange: () => this.changed({ hybrid: this.hybrid.checked }) });
    this.exact = make("input", { type: "checkbox", onchange: () => this.changed({ exact: this.exact.checked }) });
    const sizes = this.sizes.map((box) => make("label", { class: "tick" }, box, ` ${box.value}`));
    return pill(
      "Options",
      "Options",
      make("fieldset", { class: "sizes" }, make("legend", null, "Hits"), ...sizes),
      index.hybrid ? make("label", { class: "tick" }, this.hybrid, " Fuse with BM25 (hybrid)") : null,
      make("label", { class: "tick" }, this.exact, " Score every document (exact)"),
    );
  }
}

/** The control of one field: choices where it has few values, a range for numbers, and a part of the text otherwise. */
class FieldControl {
  constructor(field, changed) {
    this.field = field;
    this.key = field.name; // as the filter language writes it
    this.changed = (clauses) => changed(this, clauses);
    this.choices = [];
    this.name = short(unquoted(field.name), 40);
    this.isDate = typeof field.range?.[0] === "string";
    this.kind = field.values?.length ? "choices" : field.range ? "range" : "contains";
    const inside = { choices: () => this.#choices(), range: () => this.#range(), contains: () => this.#contains() }[this.kind]();
    this.clear = make("button", { type: "button", class: "quiet", onclick: () => this.changed([]) }, "Clear");
    this.pill = pill(this.name, `Filter by ${this.name}`, inside, this.clear);
  }

  /** Whether this control shows a clause. */
  reads(clause) {
    if (clause?.key !== this.key) return false;
    const { operator, values } = clause;
    if (this.kind === "choices") {
      return ["=", "in"].includes(operator) && values.every((value) => this.field.values.includes(value));
    }
    if (this.kind === "range") return [">=", "<="].includes(operator) && typeof values[0] === typeof this.field.range[0];
    return operator === "contains" && typeof values[0] === "string";
  }

  chosen() {
    return this.choices.filter((choice) => choice.box.checked).map((choice) => choice.value);
  }

  show(clauses) {
    const values = clauses.flatMap((clause) => clause.values);
    if (this.kind === "choices") this.choices.forEach((choice) => (choice.box.checked = values.includes(choice.value)));
    if (this.kind === "range") {
      const bound = (sign) => clauses.find((clause) => clause.operator === sign)?.values[0];
      this.least.value = this.#day(bound(">="));
      this.most.value = this.#day(bound("<="));
    }
    if (this.kind === "contains") this.part.value = values[0] ?? "";
    const isOn = clauses.length > 0;
    const [button] = this.pill;
    button.classList.toggle("on", isOn);
    this.clear.hidden = !isOn;
    button.querySelector(".pill-value").replaceChildren(...(isOn ? [": ", isolated(this.#words(clauses, values))] : []));
  }

  #words(clauses, values) {
    if (this.kind === "range") return clauses.map((one) => `${one.operator === ">=" ? "≥" : "≤"} ${this.#day(one.values[0])}`).join(", ");
    const named = values.slice(0, 2).map((value) => short(value, 24)).join(", ");
    return values.length > 2 ? `${named} +${values.length - 2}` : named;
  }

  #choices() {
    const box = () => make("input", { type: "checkbox", onchange: () => this.#chose() });
    const { values } = this.field;
    const isNumbers = values.every((value) => typeof value === "number");
    this.choices = (isNumbers ? values.toSorted((a, b) => a - b) : values).map((value) => ({ value, box: box() }));
    const rows = this.choices.map((choice) => make("label", { class: "tick" }, choice.box, " ", isolated(short(choice.value, 60))));
    return make("fieldset", { class: "choices" }, make("legend", null, isolated(this.name)), ...rows);
  }

  #chose() {
    const values = this.chosen();
    this.changed(values.length ? [oneOf(this.key, values)] : []);
  }

  #range() {
    const [low, high] = this.field.range;
    const kind = this.isDate ? { type: "date" } : { type: "number", step: "any", inputmode: "decimal" };
    const bound = (hint) => make("input", { ...kind, placeholder: hint, onchange: () => this.#ranged() });
    this.least = bound(low);
    this.most = bound(high);
    const shown = (value) => (this.isDate ? this.#day(value) : number(value));
    return make(
      "fieldset",
      { class: "range" },
      make("legend", null, isolated(this.name)),
      make("label", null, "from ", this.least),
      make("label", null, "to ", this.most),
      make("p", { class: "soft" }, `${shown(low)} to ${shown(high)} in this index`),
    );
  }

  #ranged() {
    // The last day is a part of the range, with all of its hours: T24 is behind them.
    const hours = this.field.range[1].length > DAY ? "T24" : "";
    const bounds = [[">=", this.least, ""], ["<=", this.most, hours]].filter(([, box]) => box.value !== "" && box.validity.valid);
    this.changed(bounds.map(([sign, box, rest]) => test(this.key, sign, this.isDate ? box.value + rest : box.valueAsNumber)));
  }

  /** A bound as its box has it: of a date the day. */
  #day(bound) {
    return this.isDate ? (bound ?? "").slice(0, DAY) : (bound ?? "");
  }

  #contains() {
    const changed = () => this.changed(this.part.value ? [test(this.key, "contains", this.part.value)] : []);
    this.part = make("input", { type: "text", onchange: changed });
    return make("label", null, isolated(this.name), " contains ", this.part);
  }
}

/** A field's name without the quotes that the filter language needs. */
function unquoted(name) {
  return name.replace(/"((?:[^"]|"")*)"/g, (_, key) => key.replaceAll('""', '"'));
}

let made = 0;

/** A button, and the panel that it opens. */
function pill(label, title, ...inside) {
  const id = `panel-${(made += 1)}`;
  const button = make(
    "button",
    { type: "button", class: "pill", popovertarget: id },
    isolated(label),
    make("span", { class: "pill-value" }),
    make("span", { class: "caret", "aria-hidden": "true" }, "▾"),
  );
  const panel = make("div", { id, class: "panel", popover: "auto", role: "group", "aria-label": title }, ...inside);
  return [button, panel];
}

function moreFields(controls) {
  const rest = controls.flatMap((control) => control.pill);
  const shown = make("span", { class: "rest", hidden: true }, ...rest);
  const more = make("button", { type: "button", class: "pill add", onclick: () => more.replaceWith(...shown.childNodes) }, `${number(controls.length)} more fields`);
  return [more];
}

/** Put a panel that opens below its button; on a phone the style rules put it at the bottom. */
function put(event) {
  if (event.newState !== "open") return;
  const panel = event.target;
  const button = document.querySelector(`[popovertarget="${panel.id}"]`);
  const { left, bottom } = button.getBoundingClientRect();
  panel.style.setProperty("--left", `${Math.max(8, Math.min(left, innerWidth - panel.offsetWidth - 8))}px`);
  panel.style.setProperty("--top", `${bottom + 6}px`);
  panel.querySelector("input")?.focus();
}

