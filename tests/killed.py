"""A program: kill a publication at each of its steps, one after another, and look at what is left.

``python killed.py FOLDER WAY WHAT``: WAY is ``swap`` or ``rename``, WHAT is ``staged``, ``index`` or ``file``. Each
step is something that the interpreter reports to an audit hook: a file opened, renamed or removed, a lock taken.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tardif import folders
from tardif.folders import holding, read_json, staged, write_json, write_output
from tardif.search import build

OLD, NEW = {"manifest.json": "old", "data": "old"}, {"manifest.json": "new", "data": "new"}
STEPS = ("os.", "open", "shutil.", "fcntl.", "ctypes.call")


def fill(folder: Path, value: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in OLD:
        write_json(folder / name, value)


def publish(path: Path, what: str) -> None:
    if what == "staged":
        with staged(path, overwrite=True) as aside:
            fill(aside, "new")
    elif what == "index":
        work = path.with_name(f".{path.name}.indexing")
        with holding(path, overwrite=True):
            fill(work, "new")
            build.finish(work, path)
    else:
        write_output(path, '"new"\n')


def killed_at(step: int, path: Path, what: str) -> bool:
    """Publish in a process that is killed at a step; whether it came so far."""
    child = os.fork()
    if not child:
        seen = 0

        def hook(event: str, arguments: object) -> None:
            nonlocal seen
            if event.startswith(STEPS):
                seen += 1  # first: a kill is an event too
                if seen == step + 1:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        publish(path, what)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def there(path: Path) -> dict[str, str]:
    """What is at the place, as the next one who opens it finds it."""
    if path.is_file():
        return {name: path.read_text().strip().strip('"') for name in OLD}
    return {name: read_json(path / name, what="a folder") for name in sorted(OLD, reverse=True)}


def main(root: Path, way: str, what: str) -> None:
    if way == "rename":
        folders.exchange = lambda one, other: False
    steps, found, missing = 0, set(), 0
    while True:
        place = root / str(steps)
        path = place / "model"
        place.mkdir()
        fill(path, "old") if what != "file" else path.write_text('"old"\n')
        was_killed = killed_at(steps, path, what)
        missing += not path.exists()
        left = there(path)
        assert left in (OLD, NEW), left
        found.add(left["data"])
        publish(path, what)
        assert there(path) == NEW
        assert [entry.name for entry in place.iterdir()] == ["model"], list(place.iterdir())
        if not was_killed:
            break
        steps += 1
    assert found == {"old", "new"}
    assert bool(missing) == (way == "rename" and what != "file"), missing
    sys.stdout.write(f"{steps}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
