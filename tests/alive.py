"""Documents that are counted while they are alive: what holds a block at a time never has many."""

from tardif.types import Document


class Counted(Document):
    """A document that tells its stream when it is gone. Its base has slots and no room for a weak reference."""

    def __del__(self):
        self.stream.alive -= 1


class Stream:
    """Yields documents once.

    Attributes:
        read: how many were yielded.
        alive: how many of them somebody holds.
        most: the most of them that were held at a time.
    """

    def __init__(self, count, text="text {}"):
        self.read = self.alive = self.most = 0
        self._numbers, self._text = iter(range(count)), text

    def __iter__(self):
        return self

    def __next__(self):
        number = next(self._numbers)
        document = Counted(f"d{number:04}", self._text.format(number))
        object.__setattr__(document, "stream", self)
        self.read, self.alive = self.read + 1, self.alive + 1
        self.most = max(self.most, self.alive)
        return document
