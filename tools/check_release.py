"""Build the wheel and the source archive, check them, and run README's example from the wheel in a new environment.

    python tools/check_release.py

Then the light installation is checked on the example's model (:mod:`check_light`). The environments lie outside of the
tree and get the versions of constraints.txt. Needs ``build``, ``hatchling`` and
``twine`` (the extra ``dev``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from check_light import build_index, check_light, install_light

ROOT = Path(__file__).parent.parent
# What a user would not want to install: tests, benchmarks, data, and files of tools.
UNWANTED = re.compile(r"(^|/)(tests?|benchmarks|\.ci|\.git)/|\.(tar\.gz|jsonl|parquet|safetensors|onnx|ipynb|pyc)$")
# Enough questions that some are held out, so that README's figures exist.
SUBJECTS = (
    *("password", "invoice", "parcel", "refund", "voucher", "address", "battery", "cable", "receipt", "basket"),
    *("newsletter", "warranty", "manual", "payment", "delivery", "username", "language", "photo", "plan", "card"),
)


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command; its output. A failure ends the check with that output."""
    # The tree must not be found: what runs is what was installed. Only pip may use a network.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"}
    environment["OMP_WAIT_POLICY"] = "passive"  # a thread that waits leaves its core to what runs beside
    words = [str(word) for word in command]
    ended = subprocess.run(
        words, cwd=cwd, env=environment, text=True, encoding="utf-8", capture_output=True, check=False
    )
    if ended.returncode:
        sys.exit(f"{' '.join(words)}\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout


def check_contents(wheel: Path, archive: Path) -> None:
    """Check that the wheel is typed and whole, and that neither file holds what is of no use to a user."""
    with zipfile.ZipFile(wheel) as opened:
        packed = set(opened.namelist())
    with tarfile.open(archive) as opened:
        sources = {name.partition("/")[2] for name in opened.getnames()}
    files = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*") if path.is_file()}
    if missing := {name for name in files if "__pycache__" not in name} - packed:
        sys.exit(f"The wheel lacks {', '.join(sorted(missing)[:5])}.")
    if missing := {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} - sources:
        sys.exit(f"The source archive lacks {', '.join(sorted(missing))}.")
    if found := sorted(name for name in packed | sources if UNWANTED.search(name)):
        sys.exit(f"These files should not be published: {', '.join(found[:5])}.")


def write_data(folder: Path) -> None:
    """Write the files that README's example names."""
    (folder / "articles").mkdir()
    rows = []
    for subject in SUBJECTS:
        text = f"To change the {subject}, open your account and press the button beside it."
        (folder / "articles" / f"{subject}.md").write_text(f"# {subject}\n\n{text}\n", encoding="utf-8")
        rows.append(json.dumps({"query": f"how do I change my {subject}?", "positive": text}))
    (folder / "pairs.jsonl").write_text("\n".join(rows), encoding="utf-8")


def build(folder: Path) -> tuple[Path, Path]:
    """Build the wheel and the source archive, and check them."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder)
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, archive)
    check_contents(wheel, archive)
    return wheel, archive


def try_example(folder: Path, wheel: Path) -> Path:
    """Run README's example and a search in a new environment with the wheel; returns the model that was trained."""
    venv.create(folder / "venv", with_pip=True)
    binaries = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    # Modules that the example does not import need no compiled file.
    pip = [binaries / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    run(*pip, "-c", ROOT / "constraints.txt", "torch==2.13.0", f"tardif[train,offline] @ {wheel.as_uri()}")
    work = folder / "work"
    work.mkdir()
    write_data(work)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = readme.partition("```python\n")[2].partition("```")[0]
    (work / "example.py").write_text(f'if __name__ == "__main__":\n{example}'.replace("\n", "\n    "), "utf-8")
    said = run(binaries / "python", "example.py", cwd=work)
    sys.stdout.write(said)
    if not re.match(r"[01]\.\d+ -> [01]\.\d+\n", said):
        sys.exit("README's example printed no figures before and after.")
    found = json.loads(run(binaries / "tardif", "search", "support.index", "my parcel", "--json", cwd=work))
    if (best := found["hits"][0]["document_id"]) != "parcel.md":
        sys.exit(f"The search for a parcel found {best} first.")
    home = run(binaries / "python", "-c", "import tardif; print(tardif.__file__)", cwd=work).strip()
    if not Path(home).is_relative_to(folder):
        sys.exit(f"What ran is {home}, not the wheel.")
    return work / "models" / "support"


def main() -> None:
    """Build, check, install, run."""
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor() as beside:
        folder = Path(place)
        wheel, archive = build(folder / "dist")
        # Meanwhile: an installation keeps one core busy.
        container = beside.submit(install_light, folder / "container", wheel)
        model = try_example(folder, wheel)
        (folder / "light").mkdir()
        index = build_index(folder / "light", model)
        sys.stdout.write(check_light(container.result(), index, folder / "light" / "corpus.jsonl") + "\n")
        sys.stdout.write(f"{wheel.name} and {archive.name} are ready.\n")


if __name__ == "__main__":
    main()
