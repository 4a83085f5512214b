// The state of the page in its address, so that back and forward work, and an address can be shared.

export const START = { query: "", index: "", beside: "", filters: [], k: 10, hybrid: false, exact: false, open: "" };

export function readAddress() {
  const given = new URLSearchParams(location.search);
  const k = Number.parseInt(given.get("k") ?? "", 10);
  return {
    query: given.get("q") ?? "",
    index: given.get("index") ?? "",
    beside: given.get("beside") ?? "",
    filters: given.getAll("filter").filter((clause) => clause.trim()),
    k: k > 0 ? k : START.k,
    hybrid: given.get("hybrid") === "1",
    exact: given.get("exact") === "1",
    open: given.get("open") ?? "",
  };
}

/** Write the state; `push` makes a new step of the history. */
export function writeAddress(state, push) {
  const said = new URLSearchParams();
  if (state.query) said.set("q", state.query);
  if (state.index) said.set("index", state.index);
  if (state.beside) said.set("beside", state.beside);
  for (const clause of state.filters) said.append("filter", clause);
  if (state.k !== START.k) said.set("k", String(state.k));
  if (state.hybrid) said.set("hybrid", "1");
  if (state.exact) said.set("exact", "1");
  if (state.open) said.set("open", state.open);
  const address = said.size ? `?${said}` : location.pathname;
  const isNew = `?${said}` !== (location.search || "?");
  history[push && isNew ? "pushState" : "replaceState"](null, "", address);
}
