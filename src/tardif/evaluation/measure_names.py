"""Names of measures, as ir-measures spells them: ``nDCG@10``, ``AP(rel=2)@100``, ``RBP(p=0.8,rel=1)``.

A name is checked before any work: a typo, or a package that is missing, must not show after hours of encoding.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from tardif.checks import check_list
from tardif.errors import SettingError
from tardif.types import Qrels

MEASURES = ("nDCG@10", "RR@10", "R@100")
DEPTH = 100
# Hits per query that a measure without a cutoff sees in a corpus too large for whole rankings: as in TREC's runs.
_TREC_DEPTH = 1000
# Hits of all queries up to which such measures see whole rankings: some 0.5 GB.
_WHOLE = 3_000_000
# No ranking is deeper; trec_eval counts ranks in 32 bits.
_DEEPEST = 10**8
# Measures that count: over all queries their values are added, not averaged.
_COUNTS = ("NumQ", "NumRel", "NumRet")
# These count judgements or queries, not hits.
DEPTHLESS = ("NumQ", "NumRel")
# Measures whose best value is not 1: counts, gains without a norm, and ERR (with relevance of 0 and 1 at most 1/16).
_OWN_SCALES = (*_COUNTS, "ERR", "ERR_IA", "alpha_DCG", "α_DCG", "NRBP", "SDCG", "Compat")
# Usual names that ir-measures does not know, besides trec_eval's.
_SYNONYMS = {
    **dict.fromkeys(("hit", "hits", "hitrate", "hit_rate", "acc", "top"), "Success"),
    **dict.fromkeys(("f", "f1", "f_score", "f1_score"), "SetF"),
    "reciprocal_rank": "RR",
    "average_precision": "AP",
}
# The names of trec_eval that have no number.
_TREC_NAMES = (
    "map",
    "recip_rank",
    "num_q",
    "num_ret",
    "num_rel",
    "num_rel_ret",
    "set_P",
    "set_recall",
    "set_F",
    "set_map",
)
_NAME = re.compile(r"(?P<word>[^\W\d]+?)(?P<options>\(.*\))?(?:_at_|[@_.:-])?(?P<cutoff>\d+)?")


def split_names(text: str) -> list[str]:
    """Split names at the commas between them, not at those within parentheses or braces.

    >>> split_names("nDCG@10, RBP(p=0.8,rel=1)")
    ['nDCG@10', 'RBP(p=0.8,rel=1)']
    """
    names, open_ = [""], 0
    for letter in text:
        open_ += (letter in "({") - (letter in ")}")
        if letter == "," and open_ <= 0:
            names.append("")
        else:
            names[-1] += letter
    return [name.strip() for name in names if name.strip()]


def parse_measures(names: Iterable[str]) -> list[Any]:
    """Parse names such as ``nDCG@10`` into ir-measures' measures.

    >>> [str(measure) for measure in parse_measures(["nDCG@10", "R@100"])]
    ['nDCG@10', 'R@100']

    Raises:
        SettingError: a name is none of ir-measures', a parameter is missing or wrong, or a package is not installed.
    """
    measures = [_parse(name) for name in check_list(names, "measures", SettingError)]
    if not measures:
        raise SettingError(f"Name a measure, such as {', '.join(MEASURES)}.")
    return measures


def _parse(name: Any) -> Any:
    measure, fault = _read(name)
    fault = fault or _parameter_fault(measure) or _provider_fault(measure)
    if fault:
        raise SettingError(f"The measure {str(name)[:80]!r} cannot be computed: {fault}")
    return measure


def _read(name: Any) -> tuple[Any, str]:
    """Return the measure of a name, or what is wrong with the name."""
    import ir_measures

    try:
        return ir_measures.parse_measure(name), ""
    except NameError:
        pass
    # What ir-measures and Python's own parser raise for other texts, very long and deep ones among them.
    except (ValueError, SyntaxError, AttributeError, TypeError, KeyError, AssertionError, RecursionError, MemoryError):
        pass
    near = _nearest(str(name))
    return None, f"ir-measures has no such name. Did you mean {near}?" if near else (
        f"use ir-measures' names, such as {', '.join(MEASURES)}."
    )


def _parameter_fault(measure: Any) -> str:
    """What is wrong with the parameters of a measure; empty if nothing is."""
    known, name = measure.SUPPORTED_PARAMS, measure.NAME
    for key, value in measure.params.items():
        if key not in known:
            return f"{name} has no {key}; it has {', '.join(known) or 'no parameters'}."
        if not known[key].validate(value) or (isinstance(value, bool) and known[key].dtype is not bool):
            return f"its {key} is {value!r}, and must be {_expected(known[key])}."
        # A cutoff of 0 is parsed without an error, and fails or misleads later.
        if key == "cutoff" and not 1 <= value <= _DEEPEST:
            return f"its cutoff is {value}, and must count documents."
    for key, info in known.items():
        if info.required and key not in measure.params:
            example = (
                f"{name}@{'0.1' if key == 'recall' else '10'}" if key == measure.AT_PARAM else f"{name}({key}=...)"
            )
            return f"it needs a {key}: {example}."
    return ""


def _expected(info: Any) -> str:
    """What a parameter must be, in words."""
    if isinstance(info.choices, list):
        return " or ".join(map(repr, info.choices))
    words = {int: "a whole number", float: "a number with a point, such as 2.0", bool: "True or False"}
    return words.get(info.dtype, "a dict such as {1:1,2:3}" if info.dtype is dict else "of another type")


def _provider_fault(measure: Any) -> str:
    """Why no package here computes a measure, and what to do; empty if one does."""
    if any(provider.is_available() for provider in _providers(measure)):
        return ""
    absent = [key for key in ("cutoff", "rel") if key in measure.SUPPORTED_PARAMS and key not in measure.params]
    fuller = [measure(**{key: 10 if key == "cutoff" else 1}) for key in absent]
    for other in fuller:
        if any(provider.is_available() for provider in _providers(other)):
            return f"no package here does without a cutoff or a lowest relevance (rel): give it, as in {other}."
    for other in (measure, *fuller):
        if able := _providers(other):
            ways = " or ".join(dict.fromkeys(provider.install_instructions() or provider.NAME for provider in able))
            also = "" if other is measure else f", and give it more, as in {other}"
            return f"the package for it is not installed: {ways}{also}."
    return "no package that ir-measures uses computes it with these parameters."


def _providers(measure: Any) -> list[Any]:
    import ir_measures

    return [provider for provider in ir_measures.DefaultPipeline.providers if provider.supports(measure)]


def _nearest(name: str) -> str:
    """The measure that a misspelt name most likely means; empty if none is near.

    >>> _nearest("ndcg_cut_10"), _nearest("recall_at_100"), _nearest("hits@5"), _nearest("nDGC@10"), _nearest("banana")
    ('nDCG@10', 'R@100', 'Success@5', 'nDCG@10', '')
    """
    from ir_measures.measures import registry

    if name in _TREC_NAMES or re.fullmatch(r"\w+[_.]\d+", name):
        with suppress(Exception):  # it may be another tool's name
            import ir_measures

            return str(ir_measures.parse_trec_measure(name)[0])
    found = _NAME.fullmatch(name.strip())
    if found is None:
        return ""
    lower = {known.lower(): known for known in registry}
    word = found["word"].lower()
    close = difflib.get_close_matches(word, [*lower, *_SYNONYMS], n=1, cutoff=0.6)
    spelt = next((lower.get(one) or _SYNONYMS[one] for one in [word, *close] if one in lower or one in _SYNONYMS), "")
    cutoff = f"@{found['cutoff']}" if found["cutoff"] else ""
    tries = (f"{spelt}{options}{at}" for options in (found["options"] or "", "") for at in (cutoff, "@10", ""))
    return next(filter(None, map(_as_written, tries)), "") if spelt else ""


def _as_written(name: str) -> str:
    """A name as ir-measures writes it; empty if it is none."""
    import ir_measures

    with suppress(Exception):  # a guess may be no name
        measure = ir_measures.parse_measure(name)
        return "" if _parameter_fault(measure) else str(measure)
    return ""


def is_count(name: str) -> bool:
    """Whether a measure counts, so that its values over all queries are added.

    >>> is_count("NumRet(rel=1)"), is_count("nDCG@10")
    (True, False)
    """
    return _word(name) in _COUNTS


def scale_of(name: str, values: Iterable[float]) -> float:
    """The size of a measure's values: 1 for those that are best at 1, else the largest value seen.

    >>> scale_of("nDCG@10", [0.2]), scale_of("NumRet", [100.0, 40.0])
    (1.0, 100.0)
    """
    largest = max((abs(value) for value in values), default=0.0)
    return largest if _word(name) in _OWN_SCALES or largest > 1 + 1e-9 else 1.0


def _word(name: str) -> str:
    return re.split(r"[(@]", name, maxsplit=1)[0]


def uncut(names: Iterable[str]) -> list[str]:
    """Return those of some measures that look at a ranking to its end: ``AP``, ``RR``, ``nDCG`` without ``@10``.

    >>> uncut(["nDCG@10", "AP"])
    ['AP']

    Raises:
        SettingError: a name is none of ir-measures'.
    """
    parsed = parse_measures(names)
    return [str(found) for found in parsed if not found.params.get("cutoff") and found.NAME not in DEPTHLESS]


def depth_of(names: Iterable[str], qrels: Qrels | None = None, documents: int = 0) -> int:
    """Return how many hits of a query the measures look at.

    That is the deepest of their cutoffs, and at least 100. A measure without a cutoff looks at all documents if the
    hits of all queries are at most 3 million. Else it looks at 1,000, as TREC's runs hold, or at as many as are
    relevant to one query, if that is more: with fewer hits it could not reach 1.

    >>> depth_of(["nDCG@10"]), depth_of(["R@500"])
    (100, 500)

    Args:
        names: the measures.
        qrels: the judgements of the queries to rank.
        documents: the number of documents.

    Raises:
        SettingError: a name is none of ir-measures'.
    """
    judged: Qrels = qrels or {}
    deepest = max([DEPTH, *(int(measure.params.get("cutoff") or 0) for measure in parse_measures(names))])
    if not uncut(names):
        return deepest
    if documents * len(judged) <= _WHOLE:
        return max(deepest, documents)
    relevant = (sum(relevance > 0 for relevance in found.values()) for found in judged.values())
    return max(deepest, _TREC_DEPTH, *relevant)
