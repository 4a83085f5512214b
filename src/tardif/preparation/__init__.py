"""``prepare``: turns the user's data into a training set, in memory or as a folder."""

from tardif.preparation.options import Preparation
from tardif.preparation.steps import prepare, prepare_folder

__all__ = ["Preparation", "prepare", "prepare_folder"]
