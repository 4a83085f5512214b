"""A RAGatouille user's search script: index, search, add, delete, open again. Only the import is changed.

    python index_and_search.py FOLDER CHECKPOINT

FOLDER is a collection in BEIR layout.
"""

import json
import sys
from pathlib import Path

from tardif.ragatouille import RAGPretrainedModel  # was: from ragatouille import RAGPretrainedModel

folder, checkpoint = Path(sys.argv[1]), sys.argv[2]
rows = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]

RAG = RAGPretrainedModel.from_pretrained(checkpoint)
path = RAG.index(
    collection=[row["text"] for row in first],
    document_ids=[row["_id"] for row in first],
    document_metadatas=[{"title": row["title"]} for row in first],
    index_name="my_index",
    max_document_length=128,
    split_documents=True,
)
query = "the automation of libraries"
for hit in RAG.search(query, k=3):
    print(hit["rank"], hit["document_id"], round(hit["score"], 3), hit["document_metadata"]["title"])

RAG.add_to_index(
    new_collection=[row["text"] for row in second],
    new_document_ids=[row["_id"] for row in second],
    new_document_metadatas=[{"title": row["title"]} for row in second],
)
best = RAG.search(query, k=1)[0]["document_id"]
RAG.delete_from_index([best])

again = RAGPretrainedModel.from_index(path)
found = again.search([query, "statistics of citations"], k=5)
assert all(hit["document_id"] != best for hits in found for hit in hits), "a deleted document was found"
assert again.search(query, doc_ids=[rows[-1]["_id"]])[0]["document_id"] == rows[-1]["_id"]
print([[hit["document_id"] for hit in hits] for hits in found])
