"""What comes in: files and Python values become a :class:`~tardif.data.training_set.TrainingSet`.

``rows`` reads lines with their numbers, ``pairs`` makes judged pairs of them, ``beir`` and
``documents`` read whole collections, ``gather`` gives ids and merges, ``split`` holds queries out,
``training_set`` is the result on disk.
"""
