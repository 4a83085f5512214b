"""A program: kill a publication at each of its steps, one after another, and look at what is left.

``python killed.py FOLDER WAY...``: WAY is ``swap`` or ``rename``; what is published is ``staged``, ``index`` and
``file``, and for each a line of JSON says how many steps there were, or what was wrong. Each step is something that the
interpreter reports to an audit hook: a file opened, renamed or removed, a lock taken.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from tardif import folders
from tardif.exchange import exchange
from tardif.folders import holding, read_json, staged, write_json, write_output
from tardif.search import build

OLD, NEW = {"manifest.json": "old", "data": "old"}, {"manifest.json": "new", "data": "new"}
STEPS = ("os.", "open", "shutil.", "fcntl.", "ctypes.call")


def fill(folder: Path, value: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in OLD:
        write_json(folder / name, {"format": "tardif-test", "value": value})


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
        try:
            publish(path, what)
        except BaseException:  # the child ends here, whatever happens
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def there(path: Path) -> dict[str, str]:
    """What is at the place, as the next one who opens it finds it."""
    if path.is_file():
        return {name: path.read_text().strip().strip('"') for name in OLD}
    return {name: read_json(path / name, what="a folder")["value"] for name in sorted(OLD, reverse=True)}


def tried(root: Path, way: str, what: str) -> int:
    """Kill it at every step; how many there were."""
    folders.exchange = exchange if way == "swap" else lambda one, other: False
    root.mkdir(parents=True)
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
    return steps


def main(root: Path, *ways: str) -> None:
    for way, what in itertools.product(ways, ("staged", "index", "file")):
        said = {"way": way, "what": what}
        try:
            said["steps"] = tried(root / way / what, way, what)
        except Exception:
            said["wrong"] = traceback.format_exc()
        sys.stdout.write(f"{json.dumps(said)}\n")
        sys.stdout.flush()  # before the next fork


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
