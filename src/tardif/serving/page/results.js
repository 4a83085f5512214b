// Searches, and the lists of hits that they give: one list, or two indexes side by side.

import { badge, DEPTH, Lines, movements, summary } from "./comparing.js";
import { fault, HitView } from "./hits.js";
import { indexPath } from "./service.js";
import { duration, isolated, make, plural } from "./texts.js";

const STEP = 10; // more hits at a time

let lists = 0;

/** The body of a search, without what is as it is by default. */
export function searchBody(state, filter) {
  return {
    query: state.query,
    k: state.k,
    ...(filter === null ? {} : { filter }),
    ...(state.hybrid ? { hybrid: true } : {}),
    ...(state.exact ? { exact: true } : {}),
  };
}

export class Results {
  /** @param hooks what hits may ask for: say, filterBy, copy, opened, more, clearFilters, faulty */
  constructor(place, service, judgements, hooks) {
    Object.assign(this, { place, service, judgements, hooks, views: [], lines: null, running: null });
  }

  /** The lists as they are seen now; on a phone one of the two. */
  lists() {
    return this.views.filter((list) => list.length && list[0].root.offsetParent !== null);
  }

  stop() {
    this.running?.abort();
    this.running = null;
    this.place.removeAttribute("aria-busy");
    document.body.classList.remove("busy");
  }

  clear() {
    this.stop();
    this.lines?.stop();
    this.views = [];
    this.place.replaceChildren();
  }

  /**
   * Search and show. A later call ends an earlier one.
   * @returns whether this call's hits were shown
   */
  async run(state, filter, indexes) {
    this.stop();
    const running = (this.running = new AbortController());
    this.place.setAttribute("aria-busy", "true");
    document.body.classList.add("busy");
    const isPair = indexes.length === 2;
    const answers = await Promise.all(indexes.map((index) => this.#answer(index, state, filter, isPair, running.signal)));
    if (running !== this.running) return false;
    this.stop();
    this.#show(state, answers);
    return true;
  }

  async #answer(index, state, filter, isPair, signal) {
    const body = { ...searchBody(state, filter), hybrid: state.hybrid && index.hybrid };
    const path = indexPath(index.name, "/search");
    const began = performance.now();
    try {
      const found = await this.service.post(path, { ...body, explain: true }, signal);
      const ms = performance.now() - began;
      // The ranks of documents that are further down than the list is long.
      const deeper = isPair && state.k < DEPTH && found.hits.length === state.k;
      const all = deeper ? await this.service.post(path, { ...body, k: DEPTH }, signal).catch(() => found) : found;
      return { index, hits: found.hits, ids: all.hits.map((hit) => hit.document_id), note: found.note ?? "", ms };
    } catch (problem) {
      return { index, hits: [], ids: [], note: "", ms: 0, problem };
    }
  }

  #show(state, answers) {
    this.lines?.stop();
    this.lines = null;
    const [first, second] = answers;
    const problem = answers.find((answer) => answer.problem)?.problem;
    this.hooks.faulty(problem?.status === 400 && state.filters.length > 0);
    if (second) this.#showPair(state, first, second);
    else this.#showOne(state, first);
    if (problem) this.hooks.say("");
    this.#reopen(state.open);
  }

  #showOne(state, answer) {
    this.views = [this.#views(state, answer)];
    this.place.replaceChildren(make("h2", { class: "unseen" }, "Hits"), ...this.#list(state, answer, this.views[0]));
    const { hits, index, ms } = answer;
    this.hooks.say(hits.length ? `${plural(hits.length, "hit")} in ${plural(index.documents ?? hits.length, "document")}, ${duration(ms)}` : "No hit.");
  }

  #showPair(state, left, right) {
    const moves = [movements(left.hits, right.ids, false), movements(right.hits, left.ids, true)];
    const depth = Math.max(DEPTH, state.k);
    const badges = moves.map((found, side) => (hit) => badge(found.get(hit.document_id), side === 1, depth));
    const isWhole = !left.problem && !right.problem;
    this.views = [left, right].map((answer, side) => this.#views(state, answer, isWhole ? badges[side] : undefined));
    const gap = make("div", { class: "gap" });
    const side = (answer, place) =>
      make(
        "section",
        { class: place ? "side later" : "side", "aria-labelledby": `side-${place}` },
        make("h2", { id: `side-${place}` }, isolated(answer.index.name), make("span", { class: "figure" }, duration(answer.ms))),
        ...this.#list(state, answer, this.views[place]),
      );
    const pair = make("div", { class: "versus", "data-shown": "1" }, side(left, 0), gap, side(right, 1));
    this.place.replaceChildren(sideSwitch(pair, left.index.name, right.index.name), pair);
    if (isWhole) this.lines = new Lines(gap, ...this.views);
    this.hooks.say(isWhole ? summary(left.hits, right.hits, moves[1]) : "");
  }

  #views(state, answer, movement = () => null) {
    const list = {
      ...this.hooks,
      key: `list-${(lists += 1)}`,
      index: answer.index.name,
      query: state.query,
      service: this.service,
      judgements: this.judgements,
      takesFeedback: answer.index.feedback ?? !answer.index.read_only,
    };
    return answer.hits.map((hit) => new HitView(hit, list, movement(hit)));
  }

  #list(state, answer, views) {
    if (answer.problem) return [fault(answer.problem, this.hooks.again)];
    if (!views.length) return [this.#nothing(state, answer)];
    const most = answer.index.limits?.k ?? 100;
    const more = make("button", { type: "button", class: "plain more", onclick: () => this.hooks.more(Math.min(state.k + STEP, most)) }, "More hits");
    const isFull = views.length === state.k && state.k < most;
    return [make("ol", { class: "hits" }, ...views.map((view) => view.root)), isFull ? more : ""];
  }

  #nothing(state, answer) {
    const reset = make("button", { type: "button", class: "plain", onclick: this.hooks.clearFilters }, "Search without filters");
    const note = answer.note || (state.filters.length ? "No document passes the filter." : "Nothing in this index matches.");
    return make("div", { class: "nothing" }, make("p", null, isolated(note)), state.filters.length ? reset : null);
  }

  #reopen(id) {
    if (!id) return;
    const found = this.views.flat().find((view) => view.hit.document_id === id && view.root.offsetParent !== null);
    if (found) found.toggle(true);
    else this.hooks.opened(null, false);
  }
}

/** On a phone one list is seen at a time: two buttons to choose which. */
function sideSwitch(pair, left, right) {
  const choose = (place) => {
    pair.dataset.shown = String(place);
    buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === place)));
  };
  const buttons = [left, right].map((name, place) =>
    make("button", { type: "button", "aria-pressed": String(place === 1), onclick: () => choose(place) }, isolated(name)),
  );
  return make("div", { class: "switch", role: "group", "aria-label": "Which list" }, ...buttons);
}
