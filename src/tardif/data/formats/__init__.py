"""Readers of all formats: training data becomes a stream of judgements, tables of documents become documents.

``opening`` finds the format. ``files``, ``cells``, ``json_files``, ``workbooks`` and ``frames`` read rows, by means of
``separators`` and ``decoding``; ``table_rows`` streams any of them. ``column_names`` has the usual names of columns,
``columns`` the user's choice. ``tables`` and ``judgement_rows`` make judgements of rows, ``document_rows`` documents;
``values`` checks their cells. ``beir``, ``colbert`` and ``trec`` read collections, by means of ``corpora``.
"""

from tardif.data.formats.columns import ROLES
from tardif.data.formats.opening import SUFFIXES, held_out_sources, open_source

__all__ = ["ROLES", "SUFFIXES", "held_out_sources", "open_source"]
