"""A trained model at work: build an index, search and change it, keep it in step with a folder, repair it."""
