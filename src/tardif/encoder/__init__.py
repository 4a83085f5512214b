"""The encoder: a base model is found and checked, and becomes a late-interaction model that encodes texts.

:mod:`~tardif.encoder.base` finds a base and checks its files without importing torch. :mod:`~tardif.encoder.recipe`
holds the settings of a fresh ColBERT. :mod:`~tardif.encoder.model` builds the model from both.
:mod:`~tardif.encoder.encoding` turns texts into packed token vectors.
"""

# The default base. The command line reads it from here, so this file imports nothing.
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
