"""Trained checkpoints in the formats of other tools: Stanford's ColBERT, PyLate, sentence-transformers, ONNX, Vespa.

    from tardif.integrations.checkpoints import export_checkpoint

    export_checkpoint("models/support", "support-colbert", "stanford")

A module per format writes it. Reading needs no call: every folder of Stanford's, PyLate's and sentence-transformers'
formats is a base (:mod:`tardif.encoder.base`). ``docs/checkpoints.md`` says what each format keeps.
"""

from __future__ import annotations

from tardif.integrations.checkpoints.exporting import FORMATS, CheckpointExport, export_checkpoint

__all__ = ["FORMATS", "CheckpointExport", "export_checkpoint"]
