// What the browser keeps for this page. Where it keeps nothing (it may be told so), a reload forgets.

class Storage {
  #rest = new Map();

  /** @param name sessionStorage (this tab) or localStorage (this browser) */
  constructor(name) {
    this.name = name;
  }

  get(key) {
    try {
      return window[this.name].getItem(key) ?? this.#rest.get(key) ?? null;
    } catch {
      return this.#rest.get(key) ?? null;
    }
  }

  set(key, value) {
    try {
      window[this.name].setItem(key, value);
    } catch {
      this.#rest.set(key, value);
    }
  }

  drop(key) {
    this.#rest.delete(key);
    try {
      window[this.name].removeItem(key);
    } catch {
      // It was never kept there.
    }
  }
}

export const tab = new Storage("sessionStorage");
export const browser = new Storage("localStorage");
