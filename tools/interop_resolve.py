"""Check that Tardif can be installed beside the packages that people use with it.

    python tools/interop_resolve.py [PACKAGE ...] [--out FILE]

For each package, uv resolves it together with the wheel of this tree and its extras ``train`` and ``serve``, torch and
sentence-transformers as if nothing were installed, without constraints.txt: only the ranges in pyproject.toml count.
uv reads the metadata alone, so all of them take seconds. pip reads the same metadata, but downloads every wheel whose
metadata the index does not serve, and tries versions one after the other: that took it a quarter of an hour. Nothing
is installed. Prints a Markdown table and fails if a package does not resolve.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What constraints.txt has; a neighbour that needs other versions of these cannot share an environment with Tardif.
FIXED = ("torch==2.13.0", "sentence-transformers==6.2.*")
# All that a user may want beside a package.
EXTRAS = "train,serve"
NEIGHBOURS = (
    *("gradio", "trackio", "wandb", "langchain", "llama-index", "haystack-ai", "mteb"),
    *("qdrant-client", "lancedb", "ray[data,serve]", "weaviate-client"),
)
_SECONDS = 1800
_ASKED = re.compile(r"[=<>~!]")  # a range that the caller gave


def build_wheel(folder: Path) -> Path:
    """Build this tree's wheel in a folder."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    ended = subprocess.run(command, text=True, capture_output=True, check=False, timeout=_SECONDS)
    if ended.returncode:
        sys.exit(f"The wheel cannot be built (is hatchling installed?):\n{ended.stderr}")
    (wheel,) = folder.glob("tardif-*.whl")
    return wheel


def uv() -> str:
    """The path of uv: beside this Python, or any that is installed."""
    beside = Path(sys.executable).parent
    found = shutil.which("uv", path=str(beside)) or shutil.which("uv")
    if found is None:
        sys.exit("uv is missing: pip install uv")
    return found


def compiled(requirements: list[str], *options: str) -> tuple[dict[str, str], str]:
    """Resolve requirements: the version of each package, or why there is no solution."""
    command = [uv(), "pip", "compile", "--python", sys.executable, "--no-header", "--no-annotate", "--quiet"]
    ended = subprocess.run(
        [*command, *options, "-"],
        input="\n".join(requirements),
        text=True,
        capture_output=True,
        check=False,
        timeout=_SECONDS,
    )
    if ended.returncode:
        return {}, " ".join(ended.stderr.split()).rpartition("cause: ")[2]
    lines = (line.split(" ")[0].partition("==") for line in ended.stdout.splitlines())
    return {_normal(name): version for name, _, version in lines if version}, ""


def resolve(package: str, wheel: Path) -> tuple[str, str]:
    """Resolve a package beside Tardif: its version, and what stands in the way ("": nothing)."""
    name = _normal(re.split(r"[\[=<>~!;]", package)[0])
    versions, why = compiled([f"tardif[{EXTRAS}] @ {wheel.as_uri()}", *FIXED, package])
    if why:
        return "", why
    # There may also be a solution with an old version whose ranges forbid nothing yet.
    last = "" if _ASKED.search(package) else compiled([package], "--no-deps")[0].get(name, "")
    return versions[name], f"not the newest, {last}" if last not in ("", versions[name]) else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Resolve each package and print the table."""
    options = argparse.ArgumentParser(description="Check that Tardif can be installed beside other packages.")
    options.add_argument("packages", nargs="*", default=NEIGHBOURS)
    options.add_argument("--out", type=Path, help="also write the table to this file")
    given = options.parse_args()
    lines = ["| package | version | resolves |", "|---|---|---|"]
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        wheel = build_wheel(Path(place))
        for package in given.packages:
            version, conflict = resolve(package, wheel)
            failed += bool(conflict)
            lines.append(f"| {package} | {version or '-'} | {conflict.replace('|', chr(92) + '|') or 'yes'} |")
            sys.stderr.write(f"{package}: {conflict or version}\n")
    table = "\n".join(lines) + "\n"
    sys.stdout.write(table)
    if given.out:
        given.out.write_text(table, encoding="utf-8")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
