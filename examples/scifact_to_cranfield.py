"""Train on scifact's claims, then measure on cranfield, which training never sees.

python examples/scifact_to_cranfield.py FOLDER   (with scifact/ and cranfield/ in BEIR layout)
"""

import sys
from pathlib import Path

import tardif
from tardif.evaluation.comparison import compare

folder = Path(sys.argv[1])
trainer = tardif.Trainer("scifact", base="sentence-transformers/all-MiniLM-L6-v2", out="models", overwrite=True)
trainer.prepare(folder / "scifact")
result = trainer.train(minutes=20)
print("scifact, held-out queries:", result.before["nDCG@10"], "->", result.after["nDCG@10"])
for figures in compare([str(result.path), "bm25"], [folder / "cranfield"], against=trainer.base.name):
    print(figures.name, figures.data, figures.measures, figures.p)
