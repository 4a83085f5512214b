"""Folders to report on, made by hand: a training, an evaluation, with as many queries as asked for."""

import json
import random

import numpy as np

from tardif.evaluation.evidence import (
    Evidence,
    RunFacts,
    SetValues,
    ShownHit,
    ShownQuery,
    ShownRanking,
    ShownRelevant,
    write_evidence,
)
from tardif.evaluation.verdict import compare_values
from tardif.explanation import Explanation, Match, Token

MEASURES = ("nDCG@10", "RR@10", "R@100")
TEXT = (
    "the red button resets a router after ten seconds while its lamp blinks and every port of that switch falls "
    "silent until power returns through the cable from upstairs where nobody looks at old boxes any more"
)
WORDS = TEXT.split()


def sentence(draw, words=30):
    return " ".join(draw.choice(WORDS) for _ in range(words))


def values(draw, queries, systems):
    """system -> measure -> query id -> value: a gain for each system over the one before it."""
    found, base = {}, {query: draw.choice((0.0, 0.0, 0.5, 0.63, 1.0)) for query in queries}
    for place, system in enumerate(systems):
        moved = {q: min(1.0, max(0.0, v + draw.choice((0, 0, 0, 0.37, -0.13)) * place)) for q, v in base.items()}
        found[system] = {name: {q: round(v, 4) for q, v in moved.items()} for name in MEASURES}
    return found


def mean(by):
    return sum(by.values()) / len(by)


def means(measures):
    return {name: mean(by) for name, by in measures.items()}


def hits(draw, count=5, text=None):
    found = []
    for rank in range(1, count + 1):
        passage = text or sentence(draw, 60)
        ends = [passage.find(" ", 20 * n) for n in range(1, 5)]
        marks = [(end - 4, end, 1 / n) for n, end in enumerate(ends, 1) if end > 4]
        relevance = draw.choice((None, None, 0, 1))
        found.append(ShownHit(rank, f"doc-{draw.randrange(9999)}", 20.0 - rank, relevance, "A title", passage, marks))
    return tuple(found)


def shown(draw, found, queries, count=20, text=None):
    """The queries with the biggest differences between the last two systems."""
    before, after = list(found)[-2:]
    gains = {q: found[after]["nDCG@10"][q] - found[before]["nDCG@10"][q] for q in queries}
    order = sorted(queries, key=gains.get)
    chosen = [*order[:count], *order[-count:]]
    return tuple(
        ShownQuery(
            "support",
            q,
            queries[q],
            "nDCG@10",
            tuple(ShownRanking(name, found[name]["nDCG@10"][q], hits(draw, text=text)) for name in (after, before)),
            (ShownRelevant("doc-7", sentence(draw), {after: None, before: 12}),),
        )
        for q in chosen
        if gains[q]
    )


def explained(query="how do i reset it", document="press the red button to reset the router"):
    """A pair whose similarities are easy to see."""

    def tokens(text):
        place, found = 0, []
        for number, word in enumerate(text.split()):
            place = text.index(word, place)
            found.append(Token(word, place, place + len(word), number))
            place += len(word)
        return found

    asked, there = tokens(query), tokens(document)
    grid = np.array([[1 / (1 + abs(a - b)) for b in range(len(there))] for a in range(len(asked))], dtype=np.float32)
    matches = [Match(n, (int(row.argmax()),), float(row.max())) for n, row in enumerate(grid)]
    return Explanation(query, document, asked, there, matches, sum(m.similarity for m in matches), grid, "doc-7")


def log_lines(draw, steps, found):
    for step in range(1, steps + 1):
        line = {"loss": 2.4 / (1 + step / 30) + draw.random() * 0.3, "grad_norm": 1.5 + draw.random()}
        line["learning_rate"] = 3e-5 * min(step / 10, 1) * (1 - step / (steps + 1))
        yield {"step": step, "epoch": round(step / steps, 4), **line, "seconds": step / 2.0}
        if step % max(1, steps // 4) == 0:
            share = step / steps
            yield {"step": step, **{m: v * (0.9 + 0.1 * share) for m, v in found.items()}, "seconds": step / 2.0}


def mining_report(draw, text=None):
    row = {
        "query_id": "q1",
        "query": "how do i reset the router?",
        "positives": [{"id": "doc-7", "score": 9.0, "teacher": None, "origin": "own", "text": text or sentence(draw)}],
        "negatives": [{"id": "doc-8", "score": 8.7, "teacher": 0.2, "origin": "mined", "text": text or sentence(draw)}],
    }
    kinds = {}
    for kind, middle in (("positives", 14), ("mined", 9), ("random", 4)):
        scores = np.array([draw.gauss(middle, 2.5) for _ in range(400)])
        counts = np.histogram(scores, bins=40, range=(0, 20))[0]
        levels = {str(q): float(np.quantile(scores, q)) for q in (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)}
        kinds[kind] = {"count": 400, "histogram": counts.tolist(), "quantiles": levels}
    return {
        "settings": {"miner": "lexical", "language": "en", "selection": {"first": 5, "last": 50, "ratio": 0.95}},
        "queries": {"mined for": 400, "filled at random": 3, "fewer than asked": 0, "not judged by score": 12},
        "negatives": {"own": 0, "mined": 400, "random": 400},
        "considered": 18000,
        "rules": [
            {"rule": "positive", "what": "is a positive of the query", "dropped": 421, "share": 0.0234},
            {"rule": "ratio", "what": "scores above 0.95 of the positive", "dropped": 2310, "share": 0.1283},
        ],
        "scores": {"searcher": {"edges": np.linspace(0, 20, 41).tolist(), **kinds}},
        "suspicious": [{"ratio": 0.97 - n / 100, **row} for n in range(5)],
        "examples": [row] * 4,
    }


def training(folder, queries=225, steps=160, seed=0, text=None, name="", evidence=True, shown_queries=20, **settings):
    """A checkpoint's folder, as far as a report reads it."""
    draw = random.Random(seed)
    asked = {f"q{n}": text or f"{sentence(draw, 6)}?" for n in range(queries)}
    found = values(draw, asked, ("bm25", "step 0", "raw", "trained"))
    found["raw"], found["step 0"] = found["step 0"], found["raw"]
    compared = compare_values(found["trained"], found["raw"], "raw")
    after = means(found["trained"])
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "before": means(found["raw"]),
        "after": after,
        "baselines": {system: means(found[system]) for system in ("bm25", "raw", "step 0")},
        "verdict": compared.verdict,
        "kept": steps // 2 if steps > 3 else steps,
        "comparison": compared.as_json(),
        "beside_bm25": None,
        "warnings": [],
        "settings": {
            "tardif": "0.1.0", "base": "sentence-transformers/all-MiniLM-L6-v2", "device": "cpu", "lr": 3e-5,
            "batch_size": 32, "seed": seed, "steps": steps, "epochs": 1.0, "evaluated": [{"step": 1}, {"step": 2}],
            "data": {"documents": 9000, "training queries": 3200, "validation queries": queries, "miner": "lexical"},
            **settings,
        },
        "seconds": {"loading": 3.2, "before": 61.0, "training": 712.4, "evaluation during training": 120.0},
        "interrupted": False,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log_lines(draw, steps, after)))
    if not evidence:
        rows = [
            {"query_id": q, **{s: {m: by[q] for m, by in measures.items()} for s, measures in found.items()}}
            for q in asked
        ]
        (folder / "held_out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder
    (folder / "mining.json").write_text(json.dumps(mining_report(draw, text)))
    environment = {"tardif": "0.1.0", "torch": "2.9.0", "python": "3.13.1", "processor": "AMD EPYC", "cores": 8}
    command = "tardif train support/ --name support --out models --minutes 20"
    run = RunFacts("training", name or folder.name, environment, command, seed)
    examples = shown(draw, {n: found[n] for n in ("raw", "trained")}, asked, shown_queries, text=text)
    write_evidence(folder, Evidence([SetValues("support", asked, found)], examples, [explained()], run))
    return folder


def evaluation(folder, queries=150, systems=("models/support", "base", "bm25"), sets=("support", "faq"), seed=0):
    """The folder of an evaluation."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    everything = []
    for data in sets:
        asked = {f"{data}-{n}": f"{sentence(draw, 6)}?" for n in range(queries)}
        found = dict(zip(systems, reversed(values(draw, asked, systems).values()), strict=True))
        everything.append(SetValues(data, asked, found))
    figures = [
        {"name": name, "data": one.data, "measures": means(measures)}
        for one in everything
        for name, measures in one.systems.items()
    ]
    results = {"before": {}, "after": {}, "systems": figures, "settings": {"against": None, "split": "test"}}
    (folder / "results.json").write_text(json.dumps({**results, "seconds": {"evaluation": 61.2}}))
    first = everything[0]
    examples = shown(draw, dict(list(first.systems.items())[:2][::-1]), first.queries)
    run = RunFacts("evaluation", folder.name, {"tardif": "0.1.0"}, "tardif evaluate models/support base bm25", None)
    write_evidence(folder, Evidence(everything, examples, [], run))
    return folder
