"""RAGatouille's interface over Tardif: change the import, keep the script.

    from tardif.ragatouille import RAGPretrainedModel, RAGTrainer

Names, signatures and return values are those of RAGatouille 0.0.9. Arguments without a meaning here are accepted; one
that asks for something else than its default is reported once, with the reason. ``docs/migration.md`` lists what
deliberately differs.
"""

from __future__ import annotations

from tardif.integrations.ragatouille.pretrained import RAGPretrainedModel
from tardif.integrations.ragatouille.rag_trainer import RAGTrainer

__all__ = ["RAGPretrainedModel", "RAGTrainer"]
