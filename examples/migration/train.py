"""A RAGatouille user's training script: only the import is changed.

    python train.py FOLDER [BASE]

FOLDER is a collection in BEIR layout. Prints the checkpoint's folder.
"""

import json
import sys
from pathlib import Path

from tardif.ragatouille import RAGTrainer  # was: from ragatouille import RAGTrainer

folder = Path(sys.argv[1])
base = sys.argv[2] if len(sys.argv) > 2 else "sentence-transformers/all-MiniLM-L6-v2"

documents = {row["_id"]: row["text"] for row in map(json.loads, (folder / "corpus.jsonl").open(encoding="utf-8"))}
queries = {row["_id"]: row["text"] for row in map(json.loads, (folder / "queries.jsonl").open(encoding="utf-8"))}
judged = [line.split("\t") for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]]
pairs = [(queries[query], documents[document]) for query, document, relevance in judged if int(relevance) > 0]

trainer = RAGTrainer(model_name="MyColBERT", pretrained_model_name=base, language_code="en")
trainer.prepare_training_data(
    raw_data=pairs,
    all_documents=list(documents.values()),
    data_out_path="./data/",
    num_new_negatives=5,
    hard_negative_minimum_rank=5,
    mine_hard_negatives=True,
)
path = trainer.train(batch_size=16, maxsteps=20, learning_rate=1e-5, dim=128, doc_maxlen=128, warmup_steps="auto")
print(path)
