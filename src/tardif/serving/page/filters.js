// The filter language (docs/filters.md): clauses written with all quoting done, and read back.
// A filter is a list of clauses that must all hold. Clauses that the page wrote are read back into its controls;
// any other clause is kept as it was typed.

const KEYWORDS = new Set("and or not in like contains exists is missing true false null".split(" "));
const WORD = String.raw`[\p{L}_][\p{L}\p{N}_-]*`;
const PART = `(?:${WORD}|"(?:[^"]|"")*"|` + "`(?:[^`]|``)*`)";
const PLAIN = new RegExp(`^${WORD}$`, "u");
const TOKEN = new RegExp(
  `\\s*(?:(?<name>${PART}(?:\\.${PART})*)|(?<own>@[\\w.]+)|(?<text>'(?:[^']|'')*')|(?<number>-?\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)|(?<sign>>=|<=|=|\\(|\\)|,))\\s*`,
  "yu",
);
const CONSTANTS = { true: true, false: false, null: null };

/** The way to a value in a document's metadata as the language writes it, and as the service names fields. */
export function wayText(way) {
  const isPlain = (key) => PLAIN.test(key) && !KEYWORDS.has(key.toLowerCase());
  return way.map((key) => (isPlain(key) ? key : `"${key.replaceAll('"', '""')}"`)).join(".");
}

/** A value of JSON as the language writes it. */
export function literal(value) {
  return typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value);
}

/** A clause for one of some values; `key` is written already. */
export function oneOf(key, values) {
  return values.length === 1 ? test(key, "=", values[0]) : `${key} in (${values.map(literal).join(", ")})`;
}

export function test(key, operator, value) {
  return `${key} ${operator} ${literal(value)}`;
}

/** All clauses as one filter, or null. One clause alone keeps its columns, which an error names. */
export function joined(clauses) {
  if (!clauses.length) return null;
  return clauses.length === 1 ? clauses[0] : clauses.map((one) => (parsed(one) ? one : `(${one})`)).join(" and ");
}

/** A clause of the forms above as {key, operator, values}; null for any other. */
export function parsed(clause) {
  const tokens = scanned(clause);
  if (tokens === null || tokens.length < 3) return null;
  const [key, operator, ...rest] = tokens;
  const isName = key.kind === "own" || (key.kind === "name" && !KEYWORDS.has(key.text.toLowerCase()));
  if (!isName) return null;
  const word = operator.text.toLowerCase();
  if (["=", ">=", "<=", "contains"].includes(word)) {
    const value = rest.length === 1 ? valueOf(rest[0]) : undefined;
    return value === undefined ? null : { key: key.text, operator: word, values: [value] };
  }
  const list = word === "in" ? listed(rest) : null;
  return list && { key: key.text, operator: "in", values: list };
}

function scanned(clause) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < clause.length) {
    const token = TOKEN.exec(clause);
    if (token === null) return null;
    const [kind, text] = Object.entries(token.groups).find(([, value]) => value !== undefined);
    found.push({ kind, text });
  }
  return found;
}

function listed(tokens) {
  if (tokens.at(0)?.text !== "(" || tokens.at(-1)?.text !== ")") return null;
  const inside = tokens.slice(1, -1);
  const values = inside.filter((_, place) => place % 2 === 0).map(valueOf);
  const commas = inside.filter((_, place) => place % 2 === 1);
  const whole = values.length && inside.length % 2 === 1 && commas.every((token) => token.text === ",");
  return whole && !values.includes(undefined) ? values : null;
}

function valueOf(token) {
  if (token.kind === "text") return token.text.slice(1, -1).replaceAll("''", "'");
  if (token.kind === "number") return Number(token.text);
  const word = token.text.toLowerCase();
  return token.kind === "name" && Object.hasOwn(CONSTANTS, word) ? CONSTANTS[word] : undefined;
}
