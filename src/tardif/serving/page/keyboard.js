// Keys. Keys of one letter or sign can be switched off, for people who speak to their computer.

import { browser } from "./storage.js";

const LETTERS = "tardif-letters";

export function lettersWork() {
  return browser.get(LETTERS) !== "off";
}

export function setLetters(work) {
  browser.set(LETTERS, work ? "on" : "off");
}

/**
 * Listen to keys.
 * @param page what they act on: `box` (the search box), `lists()` (lists of hits as they are seen), `help()`
 */
export function listen(page) {
  document.addEventListener("keydown", (event) => {
    const isOrdinary = !(event.ctrlKey || event.metaKey || event.altKey || event.isComposing);
    // An open panel or dialog has the keys, Escape among them.
    if (!isOrdinary || event.defaultPrevented || document.querySelector(":popover-open, dialog[open]")) return;
    if (pressed(page, event)) event.preventDefault();
  });
}

function pressed(page, event) {
  const { key, target } = event;
  if (target === page.box) return key === "ArrowDown" && focus(page.lists()[0]?.[0]);
  if (isTyping(target)) return false;
  if (lettersWork() && key === "/") return focusBox(page);
  if (lettersWork() && key === "?") return page.help() ?? true;
  const at = placeOf(page.lists(), target);
  if (key === "Escape") return escape(page, at);
  // Arrows choose among radio buttons and scroll what is scrolled; they move between hits from a hit's title alone.
  const isTitle = at?.view.button === target;
  if (key === "ArrowDown" && document.activeElement === document.body) return focus(page.lists()[0]?.[0]);
  if (isTitle && moved(page, key, at)) return true;
  return Boolean(at && lettersWork() && acted(key, at.view));
}

function moved(page, key, { lists, list, number }) {
  const last = lists[list].length - 1;
  if (key === "ArrowUp" && number === 0) return focusBox(page);
  const to = { ArrowDown: number + 1, ArrowUp: number - 1, Home: 0, End: last }[key];
  if (to !== undefined) return focus(lists[list][to]);
  const other = { ArrowLeft: list - 1, ArrowRight: list + 1 }[key];
  const there = lists[other];
  return there?.length ? focus(there[Math.min(number, there.length - 1)]) : false;
}

function acted(key, view) {
  const act = { w: () => view.why(), u: () => view.rate(1), d: () => view.rate(0) }[key];
  act?.();
  return Boolean(act);
}

function escape(page, at) {
  if (at?.view.isOpen) {
    at.view.toggle(false);
    return focus(at.view);
  }
  return focusBox(page);
}

function placeOf(lists, target) {
  for (const [list, views] of lists.entries()) {
    const number = views.findIndex((view) => view.root.contains(target));
    if (number >= 0) return { lists, list, number, view: views[number] };
  }
  return null;
}

function focus(view) {
  if (!view) return false;
  view.button.focus({ preventScroll: true });
  view.root.scrollIntoView({ block: view.isOpen ? "start" : "nearest" });
  return true;
}

function focusBox(page) {
  page.box.focus();
  page.box.select();
  return true;
}

function isTyping(target) {
  return target.matches("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
}
