"""Commands that call a function of this package in a new Python interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

_CALL = (
    "import sys; sys.path.append(sys.argv[1]); from importlib import import_module; "
    "module, _, function = sys.argv[2].partition(':'); getattr(import_module(module), function)(*sys.argv[3:])"
)


def calling(function: str, *arguments: str) -> list[str]:
    """Return the command that calls a function of this package, in this environment.

    Args:
        function: where it is, such as ``tardif.processes.child:run``.
        arguments: what it is called with.

    >>> calling("tardif.processes.child:run", "folder", "package.module:work")[-3:]
    ['tardif.processes.child:run', 'folder', 'package.module:work']
    """
    # The path to the package is passed on: it may be on this interpreter's path alone. -P keeps the working folder off
    # the path, where a file may be named like a module.
    return [sys.executable, "-P", "-c", _CALL, str(Path(__file__).parents[1]), function, *arguments]
