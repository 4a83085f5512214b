"""Hard negatives: mining is retrieval. Any searcher plus judgements gives examples."""
