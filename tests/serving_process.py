"""A process that serves an index to itself: adds documents one after the other, and says which are acknowledged.

Arguments: the index, and the number of its first document. Lines: ``loaded`` and the heavy libraries that the process
has loaded after a call of each kind; ``worker PID``; then ``put ID`` and ``gone ID`` for every change that was
acknowledged, and ``going ID`` before a deletion is asked for.
"""

import asyncio
import sys

from tardif.serving.served_index import ServedIndex
from tardif.types import Document

HEAVY = ("torch", "transformers", "sentence_transformers")


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def serve(folder, number):
    index = ServedIndex.open(folder)
    await index.put([Document("first", "The first text of all.")])
    await index.rerank("first", [Document("a", "The first text.")])
    await index.explain("first", text="The first text.")
    await index.search(["first"], explain=True)
    say("loaded", *(name for name in HEAVY if name in sys.modules))
    say("worker", index._worker.pid)
    while True:
        identity = f"n{number}"
        await index.put([Document(identity, f"The text of number {number}."), Document("last", identity)])
        (hits,) = await index.search([f"number {number}"], k=100, exact=True)
        assert identity in {hit.document_id for hit in hits}, "an acknowledged document is not found"
        say("put", identity)
        if number % 3 == 0:
            say("going", identity)
            await index.delete([identity])
            say("gone", identity)
        number += 1


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
