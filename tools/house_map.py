"""Write the map of the source in CONTRIBUTING.md from the first sentence of every module's docstring.

    python tools/house_map.py           print the map
    python tools/house_map.py --write   put it into CONTRIBUTING.md

``tests/test_imports.py`` fails if the map in CONTRIBUTING.md differs from the one that this prints.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tardif"
PAGE = ROOT / "CONTRIBUTING.md"
START, END = "<!-- map: written by tools/house_map.py -->\n", "<!-- end of map -->\n"


def sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring on one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.:]) (?=[A-Z`])", first)[0].rstrip(".:").replace("``", "`")


def house_map() -> str:
    """Return the map: a heading for each package, and a line for each module."""
    lines = []
    folders = sorted({path.parent for path in SOURCE.rglob("*.py")}, key=lambda folder: (folder != SOURCE, folder))
    for folder in folders:
        name = folder.relative_to(SOURCE).as_posix()
        face = folder / "__init__.py"
        lines += [f"**{'src/tardif' if name == '.' else name}/**: {sentence(face)}", ""]
        modules = sorted(path for path in folder.glob("*.py") if path.name[:2] != "__")
        lines += [f"- `{path.stem}`: {sentence(path)}" for path in modules] + [""]
    return "\n".join(lines)


def page_with_map() -> str:
    """Return CONTRIBUTING.md with the current map."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    return before + START + "\n" + house_map() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page_with_map(), encoding="utf-8", newline="\n")
    else:
        sys.stdout.write(house_map())
