"""Training: from a prepared set and a base to the best checkpoint on held-out queries.

Start with ``trainer``, the front, and ``settings``, what can be set. ``run`` is one run, step by step: ``plan`` decides
its length, ``validation`` evaluates, ``library_trainer`` runs sentence-transformers' trainer with our ``batches`` and
loss (``objective``, ``gradcache``), ``callbacks`` act between its steps, ``decision`` and ``publishing`` end it with a
``result``. An unfinished run leaves a ``run_folder`` with ``checkpoints``. Several processes form a group
(``distributed``); ``launch`` starts them, and each is a ``process`` that reads a ``run_config``.
"""
