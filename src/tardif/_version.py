"""The version of Tardif and the day of its release. Everything else that names them is tested against this file."""

__version__ = "0.1.0"
__date__ = "2026-11-29"
