"""Every format that a user may have, opened as one stream of judgements.

``opening`` finds the format; ``files``, ``cells``, ``json_files`` and ``workbooks`` read rows, by ``separators`` and
``decoding``; ``columns`` says which column is what; ``values`` and ``judgement_rows`` make judgements of rows, which
``tables`` and ``frames`` bring; ``beir``, ``colbert`` and ``trec`` read collections, by ``corpora``.
"""

from tardif.data.formats.columns import ROLES
from tardif.data.formats.opening import SUFFIXES, held_out_sources, open_source

__all__ = ["ROLES", "SUFFIXES", "held_out_sources", "open_source"]
