"""What the start, marker and end tokens of documents are worth, and how deep a pruned search pays.

    special_tokens.py scored BEIR_FOLDER [--split test] [--no-markers]     which of them are scored: nDCG@10, R@100, p
    special_tokens.py depth BEIR_FOLDER --work DIR [--queries 40]          CPU ms a query by the number of hits

Vectors are of the untrained recipe around all-MiniLM-L6-v2, kept in half precision.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tardif.data.judged import read_judged
from tardif.encoder import MINILM
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe
from tardif.encoder.tokens import tokens_for
from tardif.evaluation.measures import per_query
from tardif.evaluation.paired import significance
from tardif.index.disk import DiskIndex
from tardif.index.spool import SpooledCorpus
from tardif.ranking import top
from tardif.scoring import maxsim_arrays
from tardif.search.build import DocumentVectors, fill
from tardif.types import Document


def say(*cells: object) -> None:
    sys.stdout.write("\t".join(map(str, cells)) + "\n")
    sys.stdout.flush()


@torch.inference_mode()
def encoded(model: Any, texts: list[str], task: str) -> list[tuple[Any, Any]]:
    """Of each text the scored tokens' vectors ``[tokens, dim]`` and ids ``[tokens]``."""
    blocks, places = tokens_for(model, 4096).blocks(texts, task)
    found = []
    for block in blocks:
        lengths = block["packed_lengths"]
        out = model(dict(block), task=task)
        kept = torch.split(out["attention_mask"].bool()[0], lengths)
        vectors, ids = torch.split(out["token_embeddings"][0], lengths), torch.split(block["input_ids"][0], lengths)
        found += [(v[k].half().numpy(), i[k].numpy()) for v, i, k in zip(vectors, ids, kept, strict=True)]
    return [found[place] for place in places]


def without(texts: list[tuple[Any, Any]], dropped: list[int]) -> tuple[Any, list[int]]:
    kept = [vectors[~np.isin(ids, dropped)] for vectors, ids in texts]
    return np.concatenate(kept).astype(np.float32), [len(vectors) for vectors in kept]


def scored(beir: Any, model: Any) -> None:
    tokenizer = model.tokenizer
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    markers = [number for number in tokenizer.all_special_ids if number >= 30_522]  # behind BERT's vocabulary
    all_of_them = [start, end, *markers]
    cases = {
        "none": ([], []),
        "documents'": (all_of_them, []),
        "documents' start": ([start], []),
        "documents' marker": (markers, []),
        "documents' end": ([end], []),
        "queries' and documents'": (all_of_them, all_of_them),
    }
    documents = encoded(model, [document.content for document in beir.documents], "document")
    queries = encoded(model, list(beir.queries.values()), "query")
    ids, before = np.array([document.id for document in beir.documents], dtype=object), {}
    for name, (of_documents, of_queries) in cases.items():
        scores = maxsim_arrays(*without(queries, of_queries), *without(documents, of_documents))
        run = {query: dict(top(row, ids, 100)) for query, row in zip(beir.queries, scores, strict=True)}
        values = per_query(beir.qrels, run, ["nDCG@10", "R@100"])
        before = before or values
        for measure, found in values.items():
            mean = sum(found.values()) / len(found)
            say(name, measure, f"{mean:.4f}", f"p {significance(found, before[measure]):.4f}")


def depth(beir: Any, model: Any, work: Path, count: int) -> None:
    rows = [vectors for vectors, _ in encoded(model, [d.content for d in beir.documents], "document")]
    random = np.random.default_rng(0)
    for _ in range(3 * len(rows)):  # documents made of halves of two
        pair = [rows[place] for place in random.choice(len(beir.documents), 2, replace=False)]
        rows.append(np.concatenate([one[random.permutation(len(one))[: len(one) // 2]] for one in pair]))
    texts = {str(number): vectors.astype(np.float32) for number, vectors in enumerate(rows)}

    def known(names: Any) -> DocumentVectors:
        found = [texts[name] for name in names]
        return DocumentVectors(np.concatenate(found), [len(vectors) for vectors in found])

    queries = [v.astype(np.float32) for v, _ in encoded(model, list(beir.queries.values())[:count], "query")]
    with DiskIndex.create(work / "index", bits=8, pool=1.0, words=None, model={"path": ""}, threads=1) as index:
        with SpooledCorpus.of(Document(name, name) for name in texts) as corpus:
            fill(index, corpus, partial(map, known))
        for k in (10, 100, 1000):
            found: dict[bool, list[set[str]]] = {}
            for exact in (False, True):
                began = time.process_time()
                found[exact] = [{i for i, _ in index.search(q, [len(q)], k, exact=exact)[0]} for q in queries]
                ms = (time.process_time() - began) / len(queries) * 1000
                say(k, "exact" if exact else "pruned", f"{ms:.1f} CPU ms a query")
            recall = np.mean([len(a & b) / len(b) for a, b in zip(found[False], found[True], strict=True)])
            say(k, "recall", f"{recall:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["scored", "depth"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--no-markers", action="store_true")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--queries", type=int, default=40)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    beir = read_judged(asked.data, asked.split)
    model = build_model(resolve_base(MINILM), Recipe(markers=False if asked.no_markers else None)).eval()
    if asked.what == "scored":
        scored(beir, model)
    else:
        depth(beir, model, asked.work, asked.queries)


if __name__ == "__main__":
    main()
