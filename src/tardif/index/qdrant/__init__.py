"""Qdrant behind the protocol of an index: its embedded shard, and its service."""
