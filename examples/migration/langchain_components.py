"""A RAGatouille user's LangChain script: a retriever and a document compressor. Only the import is changed.

    python langchain_components.py FOLDER CHECKPOINT

FOLDER is a collection in BEIR layout. Needs the extra tardif[langchain].
"""

import json
import sys
from pathlib import Path

from langchain_core.documents import Document

from tardif.ragatouille import RAGPretrainedModel  # was: from ragatouille import RAGPretrainedModel

folder, checkpoint = Path(sys.argv[1]), sys.argv[2]
rows = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]

RAG = RAGPretrainedModel.from_pretrained(checkpoint)
RAG.index(
    [row["text"] for row in rows],
    document_metadatas=[{"title": row["title"]} for row in rows],
    index_name="langchain",
)
retriever = RAG.as_langchain_retriever(k=3)
query = "the automation of libraries"
for document in retriever.invoke(query):
    print(document.metadata["title"], "|", document.page_content[:60])

compressor = RAG.as_langchain_document_compressor(k=2)
documents = [Document(page_content=row["text"], metadata={"id": row["_id"]}) for row in rows[:20]]
for document in compressor.compress_documents(documents, query):
    print(document.metadata["id"], round(document.metadata["relevance_score"], 3))
