"""The command line. stdout has the data, stderr has progress and messages.

Exit codes: 0 done; 1 the work failed, with one line that says why; 2 wrong usage; 130 interrupted.
Verbs import heavy modules when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from tardif.cli.app import INTERRUPTED, app
from tardif.cli.typed import remember
from tardif.errors import TardifError, first_line
from tardif.escaping import visible
from tardif.extras import extra_of, refusal
from tardif.libraries import own_process

__all__ = ["main"]

# The modules with the verbs, in the order in which --help lists them.
_PARTS = ("preparing", "training", "evaluating", "reporting", "searching", "explaining", "serving", "mcp", "trying")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a verb and exit with its code. This is the entry point of the command.

    Args:
        arguments: the words after ``tardif``; None: those of the process.
    """
    for part in _PARTS:  # importing a part registers its verbs
        importlib.import_module(f"tardif.cli.{part}")
    _tame_libraries()
    remember(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        own_process()
    try:
        # Not standalone: the library would end the process itself, with its own texts and codes.
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except TardifError as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of stdout has left, as in `tardif search ... | head`
        # Python flushes stdout when it exits, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        # Usage errors and aborts are known by their shape: typer carries its own copy of click, in a private module.
        show = getattr(error, "show", None)
        if callable(show):
            shown = io.StringIO()
            show(file=shown)
            sys.stderr.write("".join(f"{visible(line)}\n" for line in shown.getvalue().split("\n")[:-1]))
            sys.exit(2)
        if type(error).__name__ == "Abort":
            sys.exit(INTERRUPTED)
        if os.environ.get("TARDIF_TRACEBACK"):
            raise
        if isinstance(error, ModuleNotFoundError) and (extra := extra_of(error.name or "")):
            sys.exit(_fail(f"{refusal('This', [str(error.name)], extra)}."))
        name, said = type(error).__name__, first_line(error)
        detail = f": {said}" if said != name else ""
        sys.exit(_fail(f"{name}{detail} (unexpected; set TARDIF_TRACEBACK=1 to see where)"))
    if code == INTERRUPTED:
        sys.stderr.write("Interrupted.\n")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    # Messages hold texts of users' data: control characters in them could drive the terminal.
    sys.stderr.write(f"tardif: {visible(' '.join(message.split()))}\n")
    return 1


def _tame_libraries() -> None:
    """Silence the libraries' own progress bars, and escape what they log and warn of."""
    # Set before the libraries are imported, because they read these once.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    logging.setLogRecordFactory(_record)
    warnings.formatwarning = _warning


def _record(*args: Any, **more: Any) -> logging.LogRecord:
    """Make a log record with an escaped message. A handler of a library may write it, so escaping comes first."""
    record = logging.LogRecord(*args, **more)
    with contextlib.suppress(Exception):  # logging itself complains of a message that does not fit its arguments
        record.msg, record.args = visible(record.getMessage(), keep="\n\t"), ()
        if record.exc_info:
            record.exc_text = visible("".join(traceback.format_exception(*record.exc_info)).rstrip(), keep="\n\t")
    return record


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Write a warning as one line, without the place in a library's source, which says nothing to a user."""
    return f"{category.__name__}: {visible(str(message), keep=chr(10))}\n"
