"""``prepare``: turns the user's data into a training set, in memory or as a folder."""

from tardif.preparation.options import Preparation
from tardif.preparation.steps import check_input, prepare, prepare_folder

__all__ = ["Preparation", "check_input", "prepare", "prepare_folder"]
