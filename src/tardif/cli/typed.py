"""The command line as it was typed: a report shows it, so that a reader can repeat the run."""

from __future__ import annotations

from collections.abc import Sequence

# It says how an interrupted run goes on, not what it does.
_NOT_REPEATED = "--resume"
_ARGUMENTS: list[str] = []


def remember(arguments: Sequence[str]) -> None:
    """Remember the words after ``tardif``."""
    _ARGUMENTS[:] = arguments


def typed() -> str:
    """Return the command line, quoted for a shell and without secrets."""
    from tardif.evaluation.repeating import command_line

    return command_line([argument for argument in _ARGUMENTS if argument != _NOT_REPEATED])
