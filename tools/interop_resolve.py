"""Check that pip installs Tardif beside the packages that people use with it.

    python tools/interop_resolve.py [PACKAGE ...] [--out FILE]

For each package, pip resolves it together with the wheel of this tree and its extras ``train`` and ``serve``, torch and
sentence-transformers as if nothing were installed (``pip install --dry-run --ignore-installed``), without
constraints.txt: only the ranges in pyproject.toml count. Nothing is installed. Prints a Markdown table and fails if a
package does not resolve.
"""

from __future__ import annotations

import argparse
import json
import os
import re
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
# pip may try many versions of a package before it gives up.
_SECONDS = 3600
_ASKED = re.compile(r"[=<>~!]")  # a range that the caller gave
_CAUSES = re.compile(r"^(?:ERROR: |\s*)(.+(?:depends on|requires|No matching distribution).+)$", re.MULTILINE)


def pip(*arguments: str | Path, seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    """Run pip without the constraints of the machine or of CI, which would answer another question."""
    environment = os.environ | {"PIP_CONSTRAINT": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=seconds)


def build_wheel(folder: Path) -> Path:
    """Build this tree's wheel in a folder."""
    ended = pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    if ended.returncode:
        sys.exit(f"The wheel cannot be built (is hatchling installed?):\n{ended.stderr}")
    (wheel,) = folder.glob("tardif-*.whl")
    return wheel


def newest(name: str) -> str:
    """The newest version of a package that this Python can install; "" if the index does not tell."""
    found = re.search(r"^\S+ \((\S+)\)", pip("index", "versions", name).stdout, re.MULTILINE)
    return found[1] if found else ""


def resolve(package: str, wheel: Path, report: Path) -> tuple[str, str]:
    """Resolve a package beside Tardif: its version, and what stands in the way ("": nothing)."""
    tardif = f"tardif[{EXTRAS}] @ {wheel.as_uri()}"
    given = ["--dry-run", "--ignore-installed", "--report", report, tardif, package, *FIXED]
    try:
        ended = pip("install", *given)
    except subprocess.TimeoutExpired:
        return "", f"no answer in {_SECONDS} s: pip tries version after version"
    if ended.returncode:
        causes = dict.fromkeys(found.strip() for found in _CAUSES.findall(ended.stdout + ended.stderr))
        return "", "; ".join(causes) or ended.stderr.strip().rpartition("\n")[2]
    name = re.split(r"[\[=<>~!;]", package)[0]
    installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    versions = {_normal(found["metadata"]["name"]): found["metadata"]["version"] for found in installed}
    version, last = versions[_normal(name)], newest(name)
    # pip also "resolves" by going back to an old version whose ranges forbid nothing yet.
    return version, f"not the newest, {last}" if last not in ("", version) and not _ASKED.search(package) else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Resolve each package and print the table."""
    options = argparse.ArgumentParser(description="Check that pip installs Tardif beside other packages.")
    options.add_argument("packages", nargs="*", default=NEIGHBOURS)
    options.add_argument("--out", type=Path, help="also write the table to this file")
    given = options.parse_args()
    lines = ["| package | version | resolves |", "|---|---|---|"]
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        wheel = build_wheel(Path(place))
        for package in given.packages:
            version, conflict = resolve(package, wheel, Path(place) / "report.json")
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
