"""Training pairs made from the corpus itself: titles, headings, summaries, cropped sentences, keyphrases."""

from tardif.data.synthetic import KindCount, SynthesisResult, SyntheticPair, parent_of
from tardif.synthesis.mix import WEIGHTS, synthesize

__all__ = ["WEIGHTS", "KindCount", "SynthesisResult", "SyntheticPair", "parent_of", "synthesize"]
