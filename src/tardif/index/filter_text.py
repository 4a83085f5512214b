"""Filters written as text: ``lang = 'en' and (year >= 2020 or not tags in ('old', 'draft'))``.

A recursive-descent parser over the tokens of one regular expression. Its repetitions are possessive, so parsing takes
time in proportion to the text, whatever the text is.

    either     = both {"or" both}
    both       = one {"and" one}
    one        = "not" one | "(" either ")" | name test
    test       = ("=" | "!=" | "<" | "<=" | ">" | ">=") value | "like" text | "contains" text
               | ["not"] "in" "(" [value {"," value}] ")" | "exists" | "is" ["not"] "missing"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from tardif.errors import SettingError
from tardif.index import filter_nodes as nodes
from tardif.index import filter_rules as rules
from tardif.index.filter_nodes import And, Exists, Field, Filter, In, Not, Or, Value

# Names are bare, "quoted" or `quoted`; a quote inside is doubled, as in SQL.
_PART = rf'{nodes.BARE_NAME}|"(?>[^"]*(?:""[^"]*)*)"|`(?>[^`]*(?:``[^`]*)*)`'
# Possessive (++) and atomic groups (?>): a long filter with a fault is refused in linear time.
_TOKENS = re.compile(
    rf"""(?P<name>(?:{_PART})(?:\.(?:{_PART}))*)
       | (?P<own>@\w*+(?:\.\w++)*+)
       | (?P<text>'(?>[^']*(?:''[^']*)*)')
       | (?P<number>-?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?![\w.-]))
       | (?P<sign><=|>=|!=|<>|==|[=<>(),])
       | (?P<space>\s+)""",
    re.VERBOSE,
)
_NUMBER_LIKE = re.compile(r"[+.-]{0,2}[0-9][\w.:+-]*")
_CONSTANTS = {"true": Value("true"), "false": Value("false"), "null": Value("null")}
_A_NAME = "the name of a key (or @id, @title, @piece.page), `not` or `(`"
_A_TEST = "one of = != < <= > >=, in, not in, like, contains, exists, is missing"
_A_VALUE = "a value: 'text' in single quotes, a number, true, false or null"


@dataclass(frozen=True, slots=True)
class _Token:
    """A token of a filter. ``kind`` is the text of a keyword or sign itself; ``begin`` counts characters from 0."""

    kind: str
    text: str
    begin: int


def parse_text(text: str) -> Filter:
    """Parse a filter.

    >>> str(parse_text("year>=2020 AND not tags in ('old')"))
    "year >= 2020 and not (tags in ('old'))"

    Raises:
        SettingError: the text is not a filter, or exceeds a limit; the message names the column, counted from 1.
    """
    if len(text) > rules.MAX_LENGTH:
        raise SettingError(f"The filter has {len(text):,} characters; at most {rules.MAX_LENGTH:,} can be read.")
    if not text.strip():
        raise SettingError("The filter is empty: write one such as lang = 'en', or leave it out.")
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._at = 0
        self._depth = 0

    def parse(self) -> Filter:
        found = self._either()
        if self._next.kind != "end":
            self._expect("`and`, `or` or the end")
        return found

    def _scan(self) -> Iterator[_Token]:
        at = 0
        while at < len(self._text):
            found = _TOKENS.match(self._text, at)
            if found is None:
                self._unreadable(at)
            kind, word = str(found.lastgroup), found.group()
            if kind == "name" and word.lower() in nodes.KEYWORDS:
                yield _Token(word.lower(), word, at)
            elif kind == "sign":
                yield _Token(rules.ALIASES.get(word, word), word, at)
            elif kind != "space":
                yield _Token(kind, word, at)
            at = found.end()
        yield _Token("end", "", at)

    # The grammar: one method per rule.

    def _either(self) -> Filter:
        # `and` binds more tightly than `or`, as in SQL.
        return self._chain(Or, "or", lambda: self._chain(And, "and", self._one))

    def _chain(self, kind: type[And | Or], word: str, part: Callable[[], Filter]) -> Filter:
        parts = [part()]
        while self._taken(word):
            parts.append(part())
        return rules.joined(kind, parts)

    def _one(self) -> Filter:
        opening = self._next
        if opening.kind not in ("not", "("):
            return self._test(self._name())
        self._at += 1
        # Python's own recursion limit must not be what ends a deep filter.
        self._depth += 1
        if self._depth > rules.MAX_OPEN:
            self._refuse(opening, f"more than {rules.MAX_OPEN} parentheses and `not` are open here")
        if opening.kind == "not":
            found = rules.negation(self._one())
        else:
            found = self._either()
            self._take(")", f"`and`, `or` or the `)` for the `(` of column {opening.begin + 1}")
        self._depth -= 1
        return found

    def _name(self) -> Field:
        token = self._next
        if token.kind == "own":
            if token.text[1:] not in nodes.OWN_FIELDS:
                self._expect(f"a field of the document itself ({nodes.OWN_NAMES}) or a key")
        elif token.kind in nodes.KEYWORDS:
            self._refuse(token, f'`{token.text}` is a keyword; for the key write "{token.text}"')
        elif token.kind != "name":
            self._expect(_A_NAME)
        self._at += 1
        if token.kind == "own":
            return Field.own(token.text[1:])
        try:
            return Field(rules.name_path(map(_unquoted, re.findall(_PART, token.text))))
        except rules.UnfitError as reason:
            self._refuse(token, str(reason))

    def _test(self, field: Field) -> Filter:
        token = self._next
        if self._taken("exists"):
            return Exists(field)
        if self._taken("is"):
            missing = not self._taken("not")
            self._take("missing", "`missing` or `not missing` (for the value null write `= null`)")
            return Not(Exists(field)) if missing else Exists(field)
        if self._taken("in"):
            return In(field, self._values())
        if self._taken("not"):
            self._take("in", f"`in`, as in `not in (...)` (for another test write `not ({field} ...)`)")
            return In(field, self._values(), negated=True)
        if token.kind not in nodes.OPERATORS:
            self._expect(_A_TEST)
        self._at += 1
        value_token = self._next
        try:
            return rules.comparison(field, token.kind, self._value())
        except rules.UnfitError as reason:
            self._refuse(value_token, str(reason))

    def _values(self) -> tuple[Value, ...]:
        self._take("(", "`(` and the values, as in ('a', 'b')")
        values: list[Value] = []
        while self._next.kind != ")":
            if values:
                self._take(",", "`,` or `)`")
            values.append(self._value())
        self._at += 1
        return tuple(values)

    def _value(self) -> Value:
        token = self._next
        if token.kind == "name":
            self._expect(_A_VALUE + (" (double quotes are for keys)" if token.text[0] == '"' else ""))
        if token.kind not in ("text", "number", *_CONSTANTS):
            self._expect(_A_VALUE)
        self._at += 1
        if token.kind == "text":
            return Value("text", token.text[1:-1].replace("''", "'"))
        if token.kind in _CONSTANTS:
            return _CONSTANTS[token.kind]
        try:
            return rules.number(token.text)
        except rules.UnfitError as reason:
            self._refuse(token, str(reason))

    # Tokens and errors

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _taken(self, kind: str) -> bool:
        there = self._next.kind == kind
        self._at += there
        return there

    def _take(self, kind: str, expected: str) -> None:
        if not self._taken(kind):
            self._expect(expected)

    def _expect(self, expected: str) -> NoReturn:
        token = self._next
        found = "the filter ends" if token.kind == "end" else f"found {_shortened(token.text)}"
        self._refuse(token, f"{found}; expected {expected}")

    def _unreadable(self, at: int) -> NoReturn:
        character = self._text[at]
        if character in "'\"`":
            self._refuse(_Token("", character, at), "the quote is never closed (inside quotes it is written twice)")
        run = _NUMBER_LIKE.match(self._text, at)
        if run:
            token = _Token("", run.group(), at)
            self._refuse(token, f"{_shortened(token.text)} is not a number (put texts and dates in single quotes)")
        self._refuse(_Token("", character, at), "this has no meaning here (put such a key in double quotes)")

    def _refuse(self, token: _Token, reason: str) -> NoReturn:
        before, after = self._text[: token.begin], self._text[token.begin + len(token.text) :]
        before = before if len(before) <= 30 else "..." + before[-27:]
        after = after if len(after) <= 30 else after[:27] + "..."
        excerpt = _printable(f"{before}>>>{_shortened(token.text)}<<<{after}")
        raise SettingError(f"The filter, column {token.begin + 1}: {reason}. It reads: {excerpt}")


def _unquoted(part: str) -> str:
    quote = part[0]
    return part[1:-1].replace(quote * 2, quote) if quote in '"`' else part


def _shortened(word: str) -> str:
    return _printable(word if len(word) <= 30 else word[:27] + "...")


def _printable(text: str) -> str:
    """A text as one line that any terminal can show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
