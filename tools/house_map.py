"""Write the map of the house in CONTRIBUTING.md from the first sentence of every module's docstring.

    python tools/house_map.py           print the map
    python tools/house_map.py --write   put it into CONTRIBUTING.md

``tests/test_imports.py`` fails where the map is not the one that this prints.
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
    """The first sentence of a module's docstring, on one line."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(said.split("\n\n")[0].split())
    return re.split(r"(?<=[.:]) (?=[A-Z`])", first)[0].rstrip(".:").replace("``", "`")


def house_map() -> str:
    """One heading a wing, one line a module."""
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
    """CONTRIBUTING.md as it should be."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    return before + START + "\n" + house_map() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page_with_map(), encoding="utf-8", newline="\n")
    else:
        sys.stdout.write(house_map())
