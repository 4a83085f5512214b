"""Training: from a prepared set and a base to the best checkpoint on held-out queries.

``trainer`` is the front; ``settings`` says what can be set. ``run`` is one run: ``plan`` decides its length,
``validation`` measures, ``library_trainer`` runs sentence-transformers' trainer with our ``batches`` and loss
(``objective``), ``callbacks`` act between its steps, ``run_folder`` and ``checkpoints`` are what an unfinished run
leaves, ``result`` what comes out. Several processes are ``distributed``; ``launch`` starts them, each is a ``process``
that reads a ``run_config``.
"""
