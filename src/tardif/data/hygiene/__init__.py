"""Data hygiene: how ids, labels, clicks and texts are read, and what is done about faulty ones. The rules of `--on`."""
