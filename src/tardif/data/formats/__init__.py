"""Every format that a user may have, opened as one stream of judgements.

``opening`` finds the format; ``files`` reads lines, JSON and cells; ``columns`` says which column is
what; ``values`` and ``judging`` make judgements of rows, which ``tables`` and ``frames`` bring;
``beir``, ``colbert`` and ``trec`` read collections, by ``corpora``, ``qrels`` and ``collection``.
"""

from tardif.data.formats.columns import ROLES
from tardif.data.formats.opening import SUFFIXES, held_out_sources, open_source

__all__ = ["ROLES", "SUFFIXES", "held_out_sources", "open_source"]
