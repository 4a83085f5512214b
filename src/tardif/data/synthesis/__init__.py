"""Training pairs made from the corpus itself: titles, headings, summaries, cropped sentences, keyphrases."""

from tardif.data.synthesis.mix import WEIGHTS, synthesize
from tardif.data.synthesis.result import KindCount, SynthesisResult, SyntheticPair, parent_of

__all__ = ["WEIGHTS", "KindCount", "SynthesisResult", "SyntheticPair", "parent_of", "synthesize"]
