// Hits: what is seen of each, its details, why it has its score, and the thumbs.

import { indexPath } from "./service.js";
import { tab } from "./storage.js";
import { draw, icon, isolated, longText, make, marked, number, short } from "./texts.js";
import { tokenMap } from "./token_map.js";

const MOST_FACTS = 4;
const TITLE = 200;

/** One hit of a list. `list` is what all of its hits share: index, query, service, judgements, and what to call. */
export class HitView {
  constructor(hit, list, movement = null) {
    this.hit = hit;
    this.list = list;
    this.inside = make("div", { class: "inside", hidden: true, id: `${list.key}-${hit.rank}` });
    this.button = make(
      "button",
      { type: "button", class: "title", "aria-expanded": "false", "aria-controls": this.inside.id, dir: "auto", onclick: () => this.toggle() },
      titleOf(hit),
    );
    this.root = make(
      "li",
      { class: "hit" },
      make("div", { class: "head" }, rankOf(hit, movement), make("h3", null, this.button), make("span", { class: "score", title: "score" }, hit.score.toFixed(3))),
      passageOf(hit),
      this.#foot(),
      this.inside,
    );
  }

  get isOpen() {
    return !this.inside.hidden;
  }

  toggle(open = !this.isOpen) {
    if (open && !this.inside.hasChildNodes()) this.inside.append(...this.#details());
    this.inside.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    this.root.classList.toggle("open", open);
    this.list.opened(this, open);
  }

  /** Open the hit with the map of its tokens. */
  async why() {
    this.toggle(true);
    if (this.asked) return;
    this.asked = true;
    const place = this.inside.querySelector(".why-place");
    place.setAttribute("aria-busy", "true");
    this.inside.querySelector(".ask-why").disabled = true;
    const asked = { query: this.list.query, document_id: this.hit.document_id, similarities: true };
    try {
      const found = await this.list.service.post(indexPath(this.list.index, "/explain"), asked);
      this.inside.querySelector(".ask-why").remove();
      place.replaceChildren(tokenMap(found));
      this.list.say(`Each token of the query with its match; the score is ${found.score.toFixed(3)}.`);
    } catch (problem) {
      this.asked = false;
      this.inside.querySelector(".ask-why").disabled = false;
      place.prepend(fault(problem));
    } finally {
      place.removeAttribute("aria-busy");
    }
  }

  /** Judge the hit: 1 for relevant, 0 for not. */
  async rate(label) {
    const { list, hit } = this;
    const before = list.judgements.get(list.index, list.query, hit.document_id);
    if (!this.thumbs || before === label) return;
    this.#press(label);
    try {
      await list.service.post(indexPath(list.index, "/feedback"), { query: list.query, document_id: hit.document_id, label });
      list.judgements.set(list.index, list.query, hit.document_id, label);
      list.say(label ? "Saved as relevant." : "Saved as not relevant.");
    } catch (problem) {
      this.#press(before);
      this.root.querySelector(".foot").after(fault(problem));
    }
  }

  #press(label) {
    this.root.querySelectorAll(".foot ~ .fault").forEach((old) => old.remove());
    this.thumbs.forEach((thumb, value) => thumb.setAttribute("aria-pressed", String(value === label)));
  }

  #foot() {
    const { hit, list } = this;
    const facts = factsOf([], hit.metadata ?? {});
    const shown = facts.slice(0, MOST_FACTS).map(({ way, value }) => this.#fact(way, value));
    const tools = make("span", { class: "tools" }, make("button", { type: "button", class: "quiet", onclick: () => this.why() }, "Why?"));
    if (list.takesFeedback) {
      const thumb = (label, name, says) =>
        make("button", { type: "button", class: `thumb ${name}`, "aria-pressed": "false", "aria-label": says, title: says, onclick: () => this.rate(label) }, icon(name));
      this.thumbs = new Map([[1, thumb(1, "up", "Relevant")], [0, thumb(0, "down", "Not relevant")]]);
      tools.append(...this.thumbs.values());
      this.thumbs.forEach((one, label) => one.setAttribute("aria-pressed", String(list.judgements.get(list.index, list.query, hit.document_id) === label)));
    }
    const left = facts.length - shown.length;
    // With the last one, so that the number is never alone on a line.
    if (left > 0) shown.push(make("span", { class: "last-fact" }, shown.pop(), make("span", { class: "soft" }, `+${left}`)));
    return make(
      "div",
      { class: "foot" },
      make(
        "div",
        { class: "about-hit" },
        make("span", { class: "id", title: "id" }, isolated(short(hit.document_id, 80))),
        ...placeOf(hit.piece),
        ...shown,
      ),
      tools,
    );
  }

  #fact(way, value) {
    return make(
      "button",
      { type: "button", class: "fact", title: "Filter by this", onclick: () => this.list.filterBy(way, value) },
      make("span", { class: "soft" }, isolated(short(way.join("."), 30))),
      " ",
      isolated(short(value, 40)),
    );
  }

  #details() {
    const { hit } = this;
    const why = make("button", { type: "button", class: "plain ask-why", onclick: () => this.why() }, "Why this score?");
    const copy = make("button", { type: "button", class: "plain", onclick: () => this.list.copy(hit.document_id, "The id is copied.") }, "Copy the id");
    const link = make("button", { type: "button", class: "plain", onclick: () => this.list.copy(location.href, "The link is copied.") }, "Copy a link");
    const rows = Object.entries(hit.metadata ?? {}).map(([key, value]) =>
      make("div", null, make("dt", null, isolated(short(key, 60))), make("dd", null, isolated(short(typeof value === "string" ? value : JSON.stringify(value), 600)))),
    );
    return [
      make("div", { class: "why-place" }, longText(hit.text, { class: "text" })),
      rows.length ? make("dl", { class: "facts" }, ...rows) : null,
      make("p", { class: "actions" }, why, copy, link),
    ].filter(Boolean);
  }
}

/** The judgements of this tab, so that a thumb stays pressed when its hit is found again. */
export class Judgements {
  #kept = new Map(JSON.parse(tab.get("tardif-judgements") ?? "[]"));

  get(...what) {
    return this.#kept.get(JSON.stringify(what));
  }

  set(index, query, id, label) {
    this.#kept.set(JSON.stringify([index, query, id]), label);
    tab.set("tardif-judgements", JSON.stringify([...this.#kept].slice(-500)));
  }

  get size() {
    return this.#kept.size;
  }
}

/** What the service says about a call that it refused. */
export function fault(problem, again = null) {
  const wait = problem.retryAfter ? ` Try again in ${number(problem.retryAfter)} s.` : "";
  return make(
    "div",
    { class: "fault", role: "alert" },
    make("p", { class: "fault-title" }, isolated(problem.title ?? "The page failed")),
    make("p", null, isolated(short(problem.message, 2000)), wait),
    again && make("button", { type: "button", class: "plain", onclick: again }, "Try again"),
  );
}

function titleOf(hit) {
  const title = hit.title ?? "";
  if (!title.trim()) return short(hit.text, 90) || hit.document_id;
  if (title.length > TITLE) return short(title, TITLE);
  return marked(title, hit.title_matches);
}

function passageOf(hit) {
  const passage = make("p", { class: "passage", dir: "auto" });
  passage.append(hit.snippet === undefined ? short(hit.text, 300) : marked(hit.snippet, hit.matches));
  return passage;
}

function rankOf(hit, movement) {
  const shown = make("span", { class: "rank" }, make("span", { class: "unseen" }, "rank "), String(hit.rank));
  return movement ? make("span", { class: "ranks" }, shown, movement) : shown;
}

/** The values that a filter can ask for: those of a list and of an object one by one, each with its way there. */
function factsOf(way, value) {
  if (Array.isArray(value)) return value.flatMap((one) => (typeof one === "object" ? [] : factsOf(way, one)));
  if (value !== null && typeof value === "object") return Object.entries(value).flatMap(([key, one]) => factsOf([...way, key], one));
  return value === null || value === "" ? [] : [{ way, value }];
}

function placeOf(piece) {
  if (!piece) return [];
  const parts = [piece.page ? `page ${piece.page}` : null, piece.headings?.length ? short(piece.headings.join(" › "), 80) : null, `piece ${piece.number} of ${piece.of}`];
  return [make("span", { class: "soft" }, isolated(parts.filter(Boolean).join(" · ")))];
}

/** An arrow for how a document moved: up, down, the same, or new. */
export function arrow(kind) {
  const paths = { up: "M6 10V2M2.5 5.5 6 2l3.5 3.5", down: "M6 2v8M2.5 6.5 6 10l3.5-3.5", same: "M2 6h8", new: "M6 2v8M2 6h8", gone: "M3 3l6 6M9 3 3 9" };
  return draw("svg", { class: "arrow", viewBox: "0 0 12 12", "aria-hidden": "true" }, draw("path", { d: paths[kind] }));
}
