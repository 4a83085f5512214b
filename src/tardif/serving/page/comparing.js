// Two indexes side by side: which documents moved, and how far.

import { arrow } from "./hits.js";
import { draw, make, plural } from "./texts.js";

/** How deep both lists are searched for a document that the other one shows. */
export const DEPTH = 50;

/**
 * How each document of a list stands in the other one.
 * @param hits the hits of the list on the right (`isLater`) or on the left
 * @param other the ids of the other list, from its first place to its deepest
 * @returns a Map from id to {kind: up | down | same | new | gone, by, at}
 */
export function movements(hits, other, isLater) {
  const ranks = new Map(other.map((id, place) => [id, place + 1]));
  const found = new Map();
  for (const hit of hits) {
    const at = ranks.get(hit.document_id);
    if (at === undefined) {
      found.set(hit.document_id, { kind: isLater ? "new" : "gone", by: 0, at: null });
      continue;
    }
    const by = isLater ? at - hit.rank : hit.rank - at;
    found.set(hit.document_id, { kind: by > 0 ? "up" : by < 0 ? "down" : "same", by: Math.abs(by), at });
  }
  return found;
}

/** The badge of a hit: an arrow, and by how many ranks the document moved. */
export function badge(movement, isLater, depth) {
  const { kind, by, at } = movement;
  const words = {
    up: isLater ? `up ${plural(by, "rank")}, from ${at}` : `rises ${plural(by, "rank")}, to ${at}`,
    down: isLater ? `down ${plural(by, "rank")}, from ${at}` : `falls ${plural(by, "rank")}, to ${at}`,
    same: "at the same rank",
    new: `new: not in the other list’s first ${depth}`,
    gone: `gone: not in the other list’s first ${depth}`,
  }[kind];
  const shown = { up: String(by), down: String(by), same: "", new: "new", gone: "gone" }[kind];
  return make("span", { class: `moved ${kind}`, title: words }, arrow(kind), make("span", { "aria-hidden": "true" }, shown), make("span", { class: "unseen" }, words));
}

/** One sentence about both lists. */
export function summary(left, right, moves) {
  const known = new Set(left.map((hit) => hit.document_id));
  const both = right.filter((hit) => known.has(hit.document_id)).length;
  const count = (kind) => [...moves.values()].filter((move) => move.kind === kind).length;
  const told = [
    [count("up"), "rose"],
    [count("down"), "fell"],
    [count("same"), "stayed"],
    [count("new"), "new"],
  ];
  const parts = told.filter(([n]) => n > 0).map(([n, word]) => `${n} ${word}`);
  const most = Math.max(left.length, right.length);
  return `${both} of the first ${most} are in both lists. On the right: ${parts.join(", ") || "nothing"}.`;
}

/** Lines between the two lists, from each document's place on the left to its place on the right. */
export class Lines {
  constructor(place, left, right) {
    Object.assign(this, { place, left, right });
    this.drawn = draw("svg", { class: "lines", "aria-hidden": "true" });
    place.append(this.drawn);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(place);
    for (const view of [...left, ...right]) {
      this.watch.observe(view.root);
      const point = (isOn) => () => this.point(view.hit.document_id, isOn);
      view.root.addEventListener("pointerenter", point(true));
      view.root.addEventListener("pointerleave", point(false));
      view.root.addEventListener("focusin", point(true));
      view.root.addEventListener("focusout", point(false));
    }
  }

  draw() {
    const box = this.drawn.getBoundingClientRect();
    if (!box.width) return;
    const middle = (view) => {
      const head = view.root.querySelector(".head").getBoundingClientRect();
      return head.top + Math.min(head.height, 28) / 2 - box.top;
    };
    const ends = new Map(this.right.map((view) => [view.hit.document_id, view]));
    const paths = this.left.filter((view) => ends.has(view.hit.document_id)).map((view) => {
      const there = ends.get(view.hit.document_id);
      const [from, to] = [middle(view), middle(there)];
      const by = view.hit.rank - there.hit.rank;
      const half = box.width / 2;
      const path = draw("path", { class: by > 0 ? "up" : by < 0 ? "down" : "same", d: `M1 ${from}C${half} ${from} ${half} ${to} ${box.width - 1} ${to}` });
      path.dataset.id = view.hit.document_id;
      return path;
    });
    this.drawn.replaceChildren(...paths);
  }

  point(id, isOn) {
    for (const path of this.drawn.children) path.classList.toggle("pointed", isOn && path.dataset.id === id);
    for (const view of [...this.left, ...this.right]) view.root.classList.toggle("pointed", isOn && view.hit.document_id === id);
  }

  stop() {
    this.watch.disconnect();
  }
}
