// Calls of the service: JSON in and out, the token, and what the service says when it refuses.

import { tab } from "./storage.js";

const TOKEN = "tardif-token";
// A busy service is asked again after the time that it names, a few times and not for long.
const TRIES = 3;
const LONGEST_WAIT = 5; // seconds

/** What went wrong, in the service's own words. */
export class Problem extends Error {
  constructor(status, title, detail, retryAfter = null) {
    super(detail || title);
    Object.assign(this, { status, title, detail, retryAfter });
  }
}

export class Service {
  /** @param askToken called with what the service said; gives a promise of a token. */
  constructor(askToken) {
    this.askToken = askToken;
    this.asking = null;
  }

  get hasToken() {
    return tab.get(TOKEN) !== null;
  }

  forget() {
    tab.drop(TOKEN);
  }

  get(path, signal) {
    return this.#call("GET", path, undefined, signal);
  }

  post(path, body, signal) {
    return this.#call("POST", path, body, signal);
  }

  async #call(method, path, body, signal) {
    for (let busy = 0; ; ) {
      const token = tab.get(TOKEN);
      const answer = await this.#fetch(method, path, body, token, signal);
      if (answer.status === 401) {
        const problem = await problemOf(answer);
        // Another call may have asked for the token meanwhile.
        if (token === tab.get(TOKEN)) await this.#token(problem, token !== null);
        continue;
      }
      if (!answer.ok) {
        const problem = await problemOf(answer);
        const isBusy = [429, 503].includes(problem.status) && problem.retryAfter !== null && problem.retryAfter <= LONGEST_WAIT;
        if (!isBusy || (busy += 1) > TRIES) throw problem;
        await wait(problem.retryAfter, signal);
        continue;
      }
      return answer.status === 204 ? null : await answer.json();
    }
  }

  async #fetch(method, path, body, token, signal) {
    const headers = { Accept: "application/json, application/problem+json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (token !== null) headers.Authorization = `Bearer ${token}`;
    try {
      // A path without a leading slash: the service may be served below another path.
      return await fetch(path, { method, headers, signal, body: body && JSON.stringify(body), credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "The service does not answer", "Is `tardif serve` still running? Start it and try again.");
    }
  }

  async #asked(said) {
    const token = await this.askToken(said);
    // A header takes nothing else.
    return /^[\x21-\x7e]+$/.test(token) ? token : this.#asked("A token has letters, digits and signs of ASCII only, and no space.");
  }

  async #token(problem, wasWrong) {
    this.asking ??= this.#asked(wasWrong ? problem.message : "").finally(() => {
      this.asking = null;
    });
    tab.set(TOKEN, await this.asking);
  }
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function problemOf(answer) {
  const after = Number(answer.headers.get("Retry-After"));
  const retry = Number.isFinite(after) && after > 0 ? after : null;
  const said = await answer.json().catch(() => ({}));
  const title = typeof said.title === "string" ? said.title : answer.statusText || `Status ${answer.status}`;
  const detail = typeof said.detail === "string" ? said.detail : "";
  return new Problem(answer.status, title, detail, retry);
}

export function indexPath(name, rest = "") {
  return `indexes/${encodeURIComponent(name)}${rest}`;
}
