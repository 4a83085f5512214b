"""What is known of texts alone: languages, scripts, words, the normal form, copies and containment, BM25."""
