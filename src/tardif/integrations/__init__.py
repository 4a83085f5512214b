"""Tardif inside other tools: RAGatouille's interface, frameworks' components, other formats of checkpoints."""
