"""Training: from a prepared set and a base to the best checkpoint on held-out queries.

``trainer`` is the front; ``settings`` says what can be set; ``batches`` makes batches of ids into
token ids; ``objective`` joins encoder and loss; ``loop`` runs sentence-transformers' trainer with
our batches, progress and deadline; ``validation`` measures; ``result`` is what comes out.
"""
