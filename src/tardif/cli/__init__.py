"""The command line: one verb per step of the story. stdout is data, stderr is talk.

Exit codes: 0 done; 1 the work failed, with one readable line; 2 wrong usage; 130 interrupted.
Heavy imports happen inside the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from tardif.cli.app import INTERRUPTED, app
from tardif.errors import TardifError

__all__ = ["main"]

# The modules with the verbs, in the order in which --help lists them.
_PARTS = ("preparing", "training", "searching", "trying")


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a verb and exits with the contract's code."""
    for part in _PARTS:
        importlib.import_module(f"tardif.cli.{part}")
    _tame_libraries()
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except TardifError as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        show = getattr(error, "show", None)  # a usage error of the command line's library
        if callable(show):
            show()
            sys.exit(2)
        if type(error).__name__ == "Abort":
            sys.exit(INTERRUPTED)
        if os.environ.get("TARDIF_TRACEBACK"):
            raise
        first = str(error).strip().splitlines()
        detail = f": {first[0]}" if first else ""
        sys.exit(_fail(f"{type(error).__name__}{detail} (unexpected; TARDIF_TRACEBACK=1 shows where)"))
    if code == INTERRUPTED:
        sys.stderr.write("Interrupted.\n")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    sys.stderr.write(f"tardif: {' '.join(message.split())}\n")
    return 1


def _tame_libraries() -> None:
    """The libraries' own bars and notes would talk over ours."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
