"""Training: from a prepared set and a base to the best checkpoint on held-out queries.

``trainer`` is the front; ``settings`` says what can be set. ``session`` is one run: ``plan`` decides its length,
``validation`` measures, ``loop`` runs sentence-transformers' trainer with our batches (``sampling``, ``batches``),
loss (``objective``) and saving (``checkpoints``), the ``conductor`` acts between its steps, ``run_folder`` is what
an unfinished run leaves, ``result`` what comes out. Several processes form a ``world``; ``launch`` starts them and
shows what they say, each is a ``worker`` that is given a ``job``.
"""
