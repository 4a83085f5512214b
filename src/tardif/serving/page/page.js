// The page: its state, its controls, and what happens when one changes the other.

import { readAddress, START, writeAddress } from "./address.js";
import { FilterBar } from "./filter_bar.js";
import { joined } from "./filters.js";
import { fault, Judgements } from "./hits.js";
import { lettersWork, listen, setLetters } from "./keyboard.js";
import { Results, searchBody } from "./results.js";
import { indexPath, Service } from "./service.js";
import { isolated, make, number, plural } from "./texts.js";

const at = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.state = readAddress();
    this.indexes = [];
    this.service = new Service(askToken);
    this.judgements = new Judgements();
    this.bar = new FilterBar(at("bar"), (change) => this.change(change));
    this.results = new Results(at("results"), this.service, this.judgements, {
      say: (text) => this.say(text),
      filterBy: (way, value) => this.bar.add(way, value),
      copy: (text, said) => this.copy(text, said),
      opened: (view, isOpen) => this.opened(view, isOpen),
      more: (k) => this.more(k),
      again: () => this.search(),
      clearFilters: () => this.change({ filters: [] }),
      faulty: (isFaulty) => this.bar.fault(isFaulty),
    });
  }

  async start() {
    this.#controls();
    try {
      this.indexes = (await this.service.get("indexes")).indexes;
    } catch (problem) {
      at("results").replaceChildren(fault(problem, () => location.reload()));
      return;
    }
    if (!this.indexes.length) {
      this.say("This service has no index.");
      return;
    }
    this.#pickers();
    this.show(readAddress());
  }

  get index() {
    return this.indexes.find((index) => index.name === this.state.index) ?? this.indexes[0];
  }

  get beside() {
    return this.indexes.find((index) => index.name === this.state.beside && index !== this.index);
  }

  /** Show a state that the address has: at the start, and after back and forward. */
  show(state, scroll = 0) {
    const isKnown = !state.index || this.indexes.some((index) => index.name === state.index);
    this.state = state;
    this.#openIndex();
    if (isKnown) return this.search(scroll);
    this.results.clear();
    at("results").append(fault({ title: "No such index", message: `This service has no index called ${state.index}. Choose one above.` }));
    return undefined;
  }

  /** Change a part of the state, and search again. */
  change(change) {
    const isOther = change.index !== undefined && change.index !== this.state.index;
    // Filters speak of one index's fields, and a list of one index is no longer than was asked of another.
    this.state = { ...this.state, ...(isOther ? { filters: [], k: START.k } : {}), ...change, open: "" };
    history.replaceState({ scroll: scrollY }, "");
    writeAddress(this.state, true);
    if (isOther) this.#openIndex();
    this.search();
  }

  async search(scroll = null) {
    const { state } = this;
    this.#sync();
    if (!state.query.trim()) {
      this.results.clear();
      this.#welcome();
      return;
    }
    document.body.classList.remove("home");
    at("welcome").hidden = true;
    const pair = [this.index, this.beside].filter(Boolean);
    const isShown = await this.results.run(state, joined(state.filters), pair);
    if (isShown && scroll !== null) scrollTo(0, scroll);
  }

  /** More hits of the same search: the keyboard goes on with the first new one. */
  async more(k) {
    const first = this.state.k;
    this.state = { ...this.state, k, open: "" };
    writeAddress(this.state, false);
    await this.search();
    this.results.lists().at(-1)?.[first]?.button.focus();
  }

  opened(view, isOpen) {
    const id = isOpen ? view.hit.document_id : "";
    if (!isOpen && view && this.state.open !== view.hit.document_id) return;
    this.state = { ...this.state, open: id };
    writeAddress(this.state, false);
  }

  say(text) {
    at("status").textContent = text;
    at("tools").hidden = !this.state.query.trim();
  }

  async copy(text, said) {
    try {
      await navigator.clipboard.writeText(text);
      this.say(said);
    } catch {
      // A page that came without TLS from another machine has no clipboard.
      prompt("Copy this:", text);
    }
  }

  #controls() {
    at("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.change({ query: at("query").value.trim(), k: START.k });
    });
    at("brand").addEventListener("click", (event) => {
      event.preventDefault();
      this.change({ ...START, index: this.state.index });
      at("query").focus();
    });
    at("index").addEventListener("change", () => this.change({ index: at("index").value, beside: "" }));
    at("with").addEventListener("change", () => this.change({ beside: at("with").value }));
    at("copy-curl").addEventListener("click", () => this.copy(this.#curl(), "The curl command is copied."));
    at("help-button").addEventListener("click", () => this.#help());
    at("letters").checked = lettersWork();
    at("letters").addEventListener("change", () => setLetters(at("letters").checked));
    at("forget").addEventListener("click", () => {
      this.service.forget();
      location.reload();
    });
    addEventListener("popstate", (event) => this.show(readAddress(), event.state?.scroll ?? 0));
    listen({ box: at("query"), lists: () => this.results.lists(), help: () => this.#help() });
  }

  #pickers() {
    at("index").replaceChildren(...this.indexes.map((index) => make("option", { value: index.name }, index.name)));
    at("pickers").hidden = false;
  }

  #openIndex() {
    const { index } = this;
    this.bar.open(index);
    const others = this.indexes.filter((other) => other !== index);
    at("with").replaceChildren(make("option", { value: "" }, "nothing"), ...others.map((other) => make("option", { value: other.name }, other.name)));
    at("with-picker").hidden = others.length === 0;
  }

  #sync() {
    const { state, index, beside } = this;
    at("query").value = state.query;
    at("index").value = index.name;
    at("with").value = beside?.name ?? "";
    this.bar.sync(state);
    document.body.classList.toggle("pair", Boolean(beside && state.query));
    document.title = state.query ? `${state.query} · ${index.name} · Tardif` : `${index.name} · Tardif`;
    at("headline").replaceChildren("Search ", isolated(index.name));
  }

  #welcome() {
    const { index } = this;
    const facts = [
      ["documents", number(index.documents ?? 0)],
      ["model", index.model],
      ["bits", index.bits && `${index.bits} per component`],
      ["words", index.hybrid ? "indexed too (hybrid)" : null],
    ].filter(([, value]) => value);
    document.body.classList.add("home");
    this.say("");
    at("welcome").hidden = false;
    at("welcome").replaceChildren(
      make("dl", { class: "about" }, ...facts.map(([name, value]) => make("div", null, make("dt", null, name), make("dd", null, isolated(String(value)))))),
    );
    at("query").focus({ preventScroll: true });
  }

  #help() {
    const { size } = this.judgements;
    const saved = size ? ` ${plural(size, "pair")} saved from this tab.` : "";
    at("feedback-note").textContent = `Thumbs are written as labelled pairs, which tardif prepare reads: train on them, and search again.${saved}`;
    at("token-row").hidden = !this.service.hasToken;
    at("help").showModal();
  }

  #curl() {
    const body = JSON.stringify(searchBody(this.state, joined(this.state.filters)));
    const address = new URL(indexPath(this.index.name, "/search"), document.baseURI).href;
    const token = this.service.hasToken ? ' -H "Authorization: Bearer $TARDIF_TOKEN"' : "";
    return `curl ${quoted(address)} -H 'Content-Type: application/json'${token} -d ${quoted(body)}`;
  }
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Ask for the service's token. The dialog stays until there is one: without it nothing can be shown. */
function askToken(said) {
  const dialog = at("token-dialog");
  at("token-said").textContent = said;
  at("token").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const keepOpen = (event) => event.preventDefault();
    dialog.addEventListener("cancel", keepOpen);
    at("token-form").addEventListener(
      "submit",
      () => {
        dialog.removeEventListener("cancel", keepOpen);
        resolve(at("token").value.trim());
        at("token").value = "";
      },
      { once: true },
    );
  });
}

new Page().start();
