"""Input data: files and Python values become a :class:`~tardif.data.training_set.TrainingSet`.

``formats`` opens whatever the user has as one stream of judgements (``records``), ``documents`` a corpus by
``extraction`` (``chunking`` makes pieces of it). ``staging`` gathers all of it in a database on disk, ``hygiene``
judges it, ``split`` holds queries out, ``assemble`` writes the folder that ``training_set`` reads. ``judged`` reads a
benchmark, ``export`` writes other tools' formats.
"""
