"""A RAGatouille user's script without an index: rerank, and search in memory. Only the import is changed.

    python rerank_in_memory.py FOLDER CHECKPOINT

FOLDER is a collection in BEIR layout.
"""

import json
import sys
from pathlib import Path

from tardif.ragatouille import RAGPretrainedModel  # was: from ragatouille import RAGPretrainedModel

folder, checkpoint = Path(sys.argv[1]), sys.argv[2]
texts = [json.loads(line)["text"] for line in (folder / "corpus.jsonl").open(encoding="utf-8")]

RAG = RAGPretrainedModel.from_pretrained(checkpoint)
query = "the automation of libraries"
for hit in RAG.rerank(query=query, documents=texts[:20], k=3):
    print(hit["rank"], hit["result_index"], round(hit["score"], 3))

RAG.encode(texts[:40], document_metadatas=[{"place": place} for place in range(40)])
RAG.encode(texts[40:60], document_metadatas=[{"place": place} for place in range(40, 60)])
for hits in RAG.search_encoded_docs([query, "statistics of citations"], k=2):
    for hit in hits:
        assert texts[hit["document_metadata"]["place"]] == hit["content"], "metadata belong to another document"
        print(hit["rank"], hit["document_metadata"]["place"], round(hit["score"], 3))
RAG.clear_encoded_docs(force=True)
