"""``tardif.ragatouille``: a short name for :mod:`tardif.integrations.ragatouille` and its modules."""

from __future__ import annotations

import sys

from tardif.integrations import ragatouille
from tardif.integrations.ragatouille import data, integrations, utils

# The modules themselves under their short names, so that each class exists once. RAGatouille's data is a package.
sys.modules |= {
    __name__: ragatouille,
    f"{__name__}.data": data,
    f"{__name__}.integrations": integrations,
    f"{__name__}.utils": utils,
    **{f"{__name__}.data.{name}": data for name in ("corpus_processor", "preprocessors", "training_data_processor")},
}
