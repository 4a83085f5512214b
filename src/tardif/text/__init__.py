"""Text processing without a model: languages, scripts, words, the normal form, near-copies, containment, BM25."""
