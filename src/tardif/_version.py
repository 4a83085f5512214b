"""The version of Tardif: said once."""

__version__ = "0.1.0"
