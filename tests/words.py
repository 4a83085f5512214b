"""Texts and a tokenisation that can be read back: a word is a token."""

from typing import ClassVar

import torch
from torch.nn.utils.rnn import pad_sequence

TEXTS = {
    "sea": "Rivers carry sand and stones down to the sea.",
    "tides": "The moon pulls the sea and makes the tides.",
    "copy": "the moon pulls  the sea and makes THE tides.",  # the same text, normalised
    "bread": "Bake the bread for forty minutes.",
    "bees": "Bees dance to tell each other where the flowers are.",
    "snow": "Snow falls in winter; in spring it melts.",
}


class Tokeniser:
    """Stands for the model's tokenisation: a word is a token, and its number tells it."""

    words: ClassVar[list[str]] = []

    def __init__(self):
        self.calls = []

    def __call__(self, texts, *, prompt, task):
        self.calls.append((task, prompt, texts))
        self.words.extend(word for text in texts for word in text.split(" ") if word not in self.words)
        ids = [torch.tensor([self.words.index(word) for word in text.split(" ")]) for text in texts]
        return {
            "input_ids": pad_sequence(ids, batch_first=True),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        }


def rows_of(block):
    """The token ids of each text, packed or padded."""
    if "packed_lengths" in block:
        return block["input_ids"][0].split(block["packed_lengths"])
    return [ids[mask.bool()] for ids, mask in zip(block["input_ids"], block["attention_mask"], strict=True)]


def texts_of(blocks):
    return [" ".join(Tokeniser.words[number] for number in ids) for block in blocks for ids in rows_of(block)]
