"""What is wrong with a collection, and what its ids, labels, clicks and texts mean: the rules of `--on`."""
