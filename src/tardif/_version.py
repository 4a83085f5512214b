"""The version of Tardif."""

__version__ = "0.1.0"
