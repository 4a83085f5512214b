"""False negatives: planted rewrites of the answers, and answers that are there but not labelled.

    .venv/bin/python benchmarks/mining.py --set PREPARED_MEDQUAD [--miners lexical] [--queries 1000] [--documents 0]

Planted: each of so many queries' positive is added to the corpus three times more, rewritten: words dropped (15 %),
sentences reordered, common words swapped for synonyms. Kept out: the share of the rewrites that are no negative of
their query. Hidden: of a question that stands several times with different answers, all but the first are taken out
of the judgements; kept out is the share of them that are no negative of that question. Articles: each of so many
queries' positive is added once more inside an article, between the halves of another answer, with other quotation
marks and dashes; passages: the positive's middle sentences; questions: the query itself. Full: queries whose negatives
all come from the rank window, none filled up at random. With ``--documents`` the corpus is cut to so many, what is
planted, hidden and judged among them: one vector per token takes minutes per thousand documents on two cores.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tardif.data.training_set import TRAIN, TrainingSet
from tardif.mining.mine import Mined, mine
from tardif.mining.miners import make_searcher
from tardif.mining.searcher import Searcher
from tardif.mining.selection import RATIO, Selection
from tardif.text.languages import language
from tardif.text.normal import normalise
from tardif.types import Document

_PAIRS = """
    doctor=physician doctors=physicians disease=illness diseases=illnesses symptoms=signs treatment=therapy
    treatments=therapies medicine=medication medicines=medications help=assist helps=assists may=might
    usually=generally often=frequently begin=start begins=starts cause=trigger causes=triggers caused=triggered
    people=persons person=individual children=kids child=kid large=big small=little increase=raise reduce=lower
    affects=influences affected=influenced problem=difficulty problems=difficulties test=examination
    tests=examinations common=frequent rare=uncommon severe=serious important=essential different=various
    show=reveal shows=reveals many=numerous several=multiple need=require needs=requires develop=evolve
    also=additionally because=since called=named most=majority sometimes=occasionally include=comprise
    includes=comprises body=organism pain=ache surgery=operation health=wellness risk=danger condition=disorder
    conditions=disorders occurs=happens occur=happen found=discovered lead=bring using=employing normal=regular
"""
SYNONYMS = dict(pair.split("=") for pair in _PAIRS.split())


def dropped(text: str, draw: random.Random) -> str:
    return " ".join(word for word in text.split() if draw.random() >= 0.15)


def reordered(text: str, draw: random.Random) -> str:
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return " ".join(draw.sample(sentences, len(sentences)))


def swapped(text: str, draw: random.Random) -> str:
    return re.sub(r"[A-Za-z]+", lambda word: SYNONYMS.get(word[0].lower(), word[0]), text)


REWRITES: tuple[Callable[[str, random.Random], str], ...] = (dropped, reordered, swapped)


def only(data: TrainingSet, queries: list[str]) -> TrainingSet:
    """The set with these queries alone to mine for."""
    return replace(data, split={query: TRAIN if query in set(queries) else "unused" for query in data.queries})


def planted(data: TrainingSet, count: int) -> tuple[TrainingSet, dict[str, set[str]]]:
    """The set with rewrites in its corpus, and those of each query."""
    draw = random.Random(0)
    chosen = draw.sample(data.query_ids(TRAIN), count)
    documents, plants = dict(data.documents), {}
    for query in chosen:
        positive = data.documents[data.positives(query)[0]]
        made = [
            Document(f"planted-{query}-{way.__name__}", way(positive.text, draw), positive.title) for way in REWRITES
        ]
        documents |= {document.id: document for document in made}
        plants[query] = {document.id for document in made}
    return only(replace(data, documents=documents), chosen), plants


def articles(data: TrainingSet, count: int) -> tuple[TrainingSet, dict[str, set[str]]]:
    """The set with articles that hold the positives word for word, and those of each query."""
    draw = random.Random(0)
    others = sorted(data.documents)

    def article(positive: Document, query: str) -> str:
        around = data.documents[draw.choice(others)].text.split()
        middle = len(around) // 2
        retyped = positive.text.translate(str.maketrans({"-": " \u2013 ", '"': "\u201d", "'": "\u2019"}))
        return f"{' '.join(around[:middle])} \u201c{retyped}\u201d {' '.join(around[middle:])}"

    return added(data, count, draw, article)


def passages(data: TrainingSet, count: int) -> tuple[TrainingSet, dict[str, set[str]]]:
    """The set with the middle sentences of the positives as documents, and those of each query."""

    def passage(positive: Document, query: str) -> str:
        sentences = re.split(r"(?<=[.!?])\s+", positive.text)
        third = len(sentences) // 3
        return " ".join(sentences[third : 2 * third + 1])

    return added(data, count, random.Random(0), passage)


def questions(data: TrainingSet, count: int) -> tuple[TrainingSet, dict[str, set[str]]]:
    """The set with the queries among its documents, and those of each query."""
    return added(data, count, random.Random(0), lambda positive, query: query.rstrip(" ?"))


def added(
    data: TrainingSet, count: int, draw: random.Random, text: Callable[[Document, str], str]
) -> tuple[TrainingSet, dict[str, set[str]]]:
    """The set with a text made of each query's positive among its documents."""
    chosen = draw.sample(data.query_ids(TRAIN), count)
    documents, plants = dict(data.documents), {}
    for query in chosen:
        made = Document(f"planted-{query}", text(data.documents[data.positives(query)[0]], data.queries[query]))
        documents[made.id] = made
        plants[query] = {made.id}
    return only(replace(data, documents=documents), chosen), plants


def hidden(data: TrainingSet, count: int) -> tuple[TrainingSet, dict[str, set[str]]]:
    """The set with all answers but those of the first of equal questions unlabelled, and these answers."""
    same: dict[str, list[str]] = {}
    for query in data.queries:
        same.setdefault(normalise(data.queries[query]), []).append(query)
    answers, gone = {}, set()
    for first, *others in same.values():
        known = {normalise(data.documents[d].content) for d in data.positives(first)}
        more = {d for other in others for d in data.positives(other)}
        # A copy of the labelled answer is no other answer.
        found = {d for d in more if normalise(data.documents[d].content) not in known}
        gone |= set(others)
        if found and data.split[first] == TRAIN:
            answers[first] = found
    kept = {query: text for query, text in data.queries.items() if query not in gone}
    qrels = {query: judged for query, judged in data.qrels.items() if query in kept}
    left = replace(data, queries=kept, qrels=qrels, split={q: data.split[q] for q in kept}, examples=[])
    if count < len(answers):
        answers = {query: answers[query] for query in random.Random(0).sample(list(answers), count)}
    return only(left, list(answers)), answers


TASKS = {
    "planted": planted,
    "hidden": hidden,
    "articles": articles,
    "passages": passages,
    "questions": questions,
}


def cut(data: TrainingSet, answers: dict[str, set[str]], count: int) -> TrainingSet:
    """The set with so many documents: the answers, what is judged of the mined queries, then random ones."""
    if not count or count >= len(data.documents):
        return data
    needed = {d for found in answers.values() for d in found}
    needed |= {d for query in data.query_ids(TRAIN) for d in data.qrels[query]}
    others = sorted(set(data.documents) - needed)
    needed |= set(random.Random(1).sample(others, max(count - len(needed), 0)))
    documents = {identity: document for identity, document in data.documents.items() if identity in needed}
    qrels = {query: data.qrels[query] for query in data.query_ids(TRAIN)}
    queries = {query: data.queries[query] for query in qrels}
    return replace(data, documents=documents, queries=queries, qrels=qrels, split=dict.fromkeys(queries, TRAIN))


def kept_out(done: Mined, answers: dict[str, set[str]]) -> float:
    taken = {query: set[str]() for query in answers}
    for example in done.data.examples:
        taken[example.query_id] |= set(example.negative_ids)
    wrong = sum(len(found & taken[query]) for query, found in answers.items())
    return 1 - wrong / sum(len(found) for found in answers.values())


def run(data: TrainingSet, answers: dict[str, set[str]], name: str, what: str) -> None:
    """Mine with a ratio of 0.95, without one, and without the rule on near-copies besides; print a row."""
    began = time.perf_counter()
    searcher: Searcher = make_searcher(name, list(data.documents.values()), language=language("en"))
    ways = {
        "ratio": Selection(ratio=RATIO),
        "no ratio": Selection(ratio=None),
        "no filter": Selection(ratio=None, near_copy=None),
    }
    found = {way: mine(data, searcher, selection) for way, selection in ways.items()}
    seconds = time.perf_counter() - began
    cells = []
    for done in found.values():
        full = 1 - done.report.filled / done.report.queries
        cells.append(f"{kept_out(done, answers):.1%} | {full:.1%}")
    sizes = f"{len(answers)} / {sum(map(len, answers.values()))} / {len(data.documents)}"
    print(f"| {what} | {name} | {sizes} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


def cost(data: TrainingSet) -> None:
    """Print how long hybrid mining takes, beside one encoding of queries and corpus by sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    from tardif.encoder import MINILM
    from tardif.encoder.base import resolve_base

    documents = list(data.documents.values())
    queries = [data.queries[query] for query in data.query_ids(TRAIN)]
    encoder = SentenceTransformer(str(resolve_base(MINILM).folder), device="cpu")
    began = time.perf_counter()
    encoder.encode([document.content for document in documents])
    encoder.encode(queries)
    once = time.perf_counter() - began
    began = time.perf_counter()
    mine(data, make_searcher("hybrid", documents, language=language("en")), Selection())
    hybrid = time.perf_counter() - began
    sizes = f"{len(queries)} queries, {len(documents)} documents"
    print(f"\n{sizes}: one encoding {once:.0f} s, hybrid mining {hybrid:.0f} s, {hybrid / once:.2f} x", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True, help="medquad, prepared")
    parser.add_argument("--miners", nargs="+", default=["lexical"])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--hidden", type=int, default=0, help="questions with hidden answers; 0: all")
    parser.add_argument("--documents", type=int, default=0, help="0: all")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--cost", action="store_true", help="time hybrid mining too, over the cut corpus of planted")
    options = parser.parse_args()
    data = TrainingSet.load(options.set)
    cells = "kept out | full | no ratio: kept out | full | unfiltered: kept out | full"
    print(f"| | miner | queries / answers / documents | {cells} | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for what in options.tasks:
        count = (options.hidden or len(data.queries)) if what == "hidden" else options.queries
        made, answers = TASKS[what](data, count)
        for name in options.miners:
            run(cut(made, answers, options.documents), answers, name, what)
    if options.cost:
        cost(_first(data, options.documents))


def _first(data: TrainingSet, count: int) -> TrainingSet:
    """The set with so many documents, and the queries that they answer."""
    documents = dict(list(data.documents.items())[: count or None])
    queries = {query: text for query, text in data.queries.items() if set(data.qrels[query]) <= documents.keys()}
    split = {query: data.split[query] for query in queries}
    qrels = {query: data.qrels[query] for query in queries}
    return replace(data, documents=documents, queries=queries, qrels=qrels, split=split, examples=[])


if __name__ == "__main__":
    main()
