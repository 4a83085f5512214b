"""The index on disk: packed token vectors, and the documents they belong to."""
