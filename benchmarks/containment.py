"""Texts looked for inside documents, as prepare joins pairs to a corpus: processor seconds, and what is found.

    .venv/bin/python benchmarks/containment.py --data FOLDER_WITH_MEDQUAD [--texts 1000]

Runs of 15 to 100 words are cut out of medquad's answers and looked for in all of them, as they stand and changed: a
word left out, put in or replaced, and shuffled, when nothing may be found.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from pathlib import Path

from tardif.data.documents import stream_documents
from tardif.text.containment import contained


def cut(documents: list[tuple[str, str]], count: int, draw: random.Random) -> list[tuple[str, str, list[str]]]:
    """An id, the id of the document that it is cut out of, and the words."""
    found = []
    while len(found) < count:
        identity, text = draw.choice(documents)
        words = text.split()
        if len(words) >= 30:
            length = draw.randrange(15, min(len(words), 100) + 1)
            start = draw.randrange(len(words) - length + 1)
            found.append((str(len(found)), identity, words[start : start + length]))
    return found


def changed(words: list[str], how: str, draw: random.Random) -> str:
    words = list(words)
    place = draw.randrange(1, len(words) - 1)
    if how == "a word left out":
        del words[place]
    elif how == "a word put in":
        words.insert(place, "moreover")
    elif how == "a word replaced":
        words[place] = "moreover"
    elif how == "shuffled":
        draw.shuffle(words)
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="medquad's BEIR folder")
    parser.add_argument("--texts", type=int, default=1_000)
    options = parser.parse_args()
    documents = [(document.id, document.content) for _, document in stream_documents(options.data / "corpus.jsonl")]
    draw = random.Random(0)
    texts = cut(documents, options.texts, draw)
    sys.stdout.write(f"{len(documents):,} documents, {sum(len(text.split()) for _, text in documents):,} words\n")
    sys.stdout.write(
        "| texts | found | in their document | in over 100, so in none | processor seconds |\n|---|---|---|---|---|\n"
    )
    for how in ("as they stand", "a word left out", "a word put in", "a word replaced", "shuffled"):
        sought = [(name, changed(words, how, draw)) for name, _, words in texts]
        begin = time.process_time()
        held = contained(sought, documents)
        seconds = time.process_time() - begin
        right = sum(home in {one.document for one in held.found.get(name, ())} for name, home, _ in texts)
        sys.stdout.write(f"| {how} | {len(held.found):,} | {right:,} | {len(held.common):,} | {seconds:.1f} |\n")
    sys.stdout.write(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB\n")


if __name__ == "__main__":
    main()
