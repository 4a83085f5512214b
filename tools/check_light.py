"""Check the light installation: follow examples/docker/Dockerfile without Docker, measure, and run what needs no torch.

    python tools/check_light.py

Each step of the Dockerfile runs in a new environment in a temporary folder, which takes the place of the container's
file system. What ``tardif[serve]`` brought is at most 500 MB, and torch is not in it. Then the verbs that need no model
run there on an index that the full environment built beforehand; the others name the extra that they need. At last the
container's command serves the index, as the container's user and without write permission, and passes its health check.
Needs a package index.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "examples" / "docker" / "Dockerfile"
# Bytes that the installation may add to a new environment, compiled files included.
LARGEST = 500_000_000
# Folders of the container, which lie in the temporary folder here.
_PLACES = re.compile(r"(?<![\w./])/(?=(?:src|indexes|tmp)\b)")
_SUBJECTS = ("password", "invoice", "parcel", "refund", "voucher", "address", "battery", "cable", "receipt", "basket")
_QUERY = "where is my parcel?"
# Packages of the extra train; some stand for what they bring.
_ABSENT = ("torch", "transformers", "sentence_transformers", "pyarrow", "duckdb", "scipy", "matplotlib")


@dataclass
class Container:
    """A container's file system and environment, without a container.

    Attributes:
        root: the folder that is the container's ``/``.
        variables: its environment.
        grown: the bytes that the steps added to the Python environment.
    """

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    grown: int = 0

    @property
    def binaries(self) -> Path:
        """Where the container's Python is."""
        return self.root / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def placed(self, text: str) -> str:
        """A text with the container's folders as they are here."""
        return _PLACES.sub(f"{self.root}/", text)

    def environment(self) -> dict[str, str]:
        """The environment of a command: the tree must not be found, nor any other Python."""
        mine = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TARDIF", "VIRTUAL"))
        }
        path = f"{self.binaries}{os.pathsep}{mine['PATH']}"
        return mine | {"PATH": path, "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"} | self.variables

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Run a command in the container; its output. Ends the check unless it exits with ``code``."""
        words = [str(word) for word in command]
        ended = subprocess.run(
            words, cwd=self.root, env=self.environment(), text=True, encoding="utf-8", capture_output=True, check=False
        )
        if ended.returncode != code:
            sys.exit(f"{shlex.join(words)}: {ended.returncode} instead of {code}\n{ended.stdout}\n{ended.stderr}")
        return ended.stdout if code == 0 else ended.stderr

    def tardif(self, *words: str | Path, code: int = 0) -> str:
        """Run a verb."""
        return self.run(self.binaries / "tardif", *words, code=code)


def steps() -> list[tuple[str, str]]:
    """The steps of the Dockerfile: the word and what follows it."""
    lines = DOCKERFILE.read_text(encoding="utf-8").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def follow(container: Container, wheel: Path | None) -> None:
    """Do what the steps of the Dockerfile do, up to the command that it starts. A wheel stands for the sources."""
    venv.create(container.root / "venv", with_pip=True)
    for word, rest in steps():
        match word:
            case "COPY":
                *sources, target = rest.split()
                _copy(sources, Path(container.placed(target)))
            case "ENV":
                container.variables |= dict(part.split("=", 1) for part in shlex.split(container.placed(rest)))
            case "RUN":
                before = size(container.root / "venv")
                placed = container.placed(rest)
                if wheel is not None:
                    placed = placed.replace(f'"{container.root}/src[serve]"', f"'tardif[serve] @ {wheel.as_uri()}'")
                container.run("sh", "-c", placed)
                container.grown += size(container.root / "venv") - before
            case "USER":
                if rest in ("0", "root"):
                    sys.exit("The container runs as root.")
            case "FROM" | "VOLUME" | "EXPOSE" | "HEALTHCHECK" | "CMD":
                pass
            case _:
                sys.exit(f"{DOCKERFILE}: {word} is not known here: teach {Path(__file__).name} to follow it.")


def _copy(sources: list[str], target: Path) -> None:
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / source, target)


def size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def build_index(folder: Path, model: str | Path) -> Path:
    """Build an index of ten documents with this environment, which has everything."""
    rows = [
        {"_id": subject, "text": f"To change the {subject}, open your account.", "metadata": {"number": number}}
        for number, subject in enumerate(_SUBJECTS)
    ]
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    given = ["index", str(model), str(corpus), "--out", str(folder / "support.index"), "--hybrid", "--quiet"]
    subprocess.run([sys.executable, "-m", "tardif", *given], check=True, stdout=subprocess.DEVNULL)
    return folder / "support.index"


def new_model(folder: Path) -> Path:
    """An untrained model around the base of the extra ``offline``."""
    from tardif.encoder import MINILM
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe

    build_model(resolve_base(MINILM), Recipe()).save(str(folder / "model"))
    return folder / "model"


def check_verbs(container: Container, index: Path, corpus: Path) -> None:
    """Run what needs no model, and see the rest name the extra that it needs."""
    container.tardif("--help")
    container.run(container.binaries / "python", "-c", "import tardif; tardif.Retriever, tardif.Trainer, tardif.rerank")
    if json.loads(container.tardif("doctor", "--json"))["advice"]:
        sys.exit("doctor advises something in a whole installation.")
    container.tardif("doctor", index)
    for how in ([], ["--hybrid"], ["--filter", "number < 9"], ["--exact", "--explain"]):
        hits = json.loads(container.tardif("search", index, _QUERY, "--json", *how))["hits"]
        if hits[0]["document_id"] != "parcel":
            sys.exit(f"A search {how} found {hits[0]['document_id']} first.")
    container.tardif("explain", index, _QUERY, "--id", "parcel", "--html", container.root / "explained.html")
    container.tardif("explain", index, _QUERY, "Your parcel is on its way.", "--json")
    hits = json.loads(container.tardif("rerank", index, _QUERY, "--documents", corpus, "--json"))["hits"]
    if hits[0]["document_id"] != "parcel":
        sys.exit(f"Reranking put {hits[0]['document_id']} first.")
    container.tardif("delete", index, "basket")
    for extra, words in {
        "train": [
            ["train", corpus, "--name", "new", "--out", "."],
            ["add", index, corpus],
            ["evaluate", "bm25", "--data", "x"],
        ],
        "parquet": [["export", index, "--format", "vectors", "--out", "vectors"]],
    }.items():
        for verb in words:
            said = container.tardif(*verb, code=1)
            if said.count("\n") != 1 or f"pip install 'tardif[{extra}]'" not in said:
                sys.exit(f"tardif {verb[0]} does not name the extra {extra}:\n{said}")


def check_service(container: Container) -> None:
    """Serve the index as the Dockerfile says, as its user; search it, and see a change refused."""
    given = dict(steps())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    token = secrets.token_hex(16)
    program, *words = json.loads(container.placed(given["CMD"]))
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    running = subprocess.Popen(
        [container.binaries / program, *words, "--port", port],
        cwd=container.root,
        env=container.environment() | {"TARDIF_TOKEN": token, "HOME": "/"},
        stdout=subprocess.PIPE,
        text=True,
        user=int(given["USER"]) if is_root else None,
    )
    try:
        assert running.stdout is not None
        if not running.stdout.readline().startswith("http://"):
            sys.exit(f"The container's command ended with {running.wait()}.")
        program, *words = json.loads(given["HEALTHCHECK"].partition("CMD ")[2].replace(":8000", f":{port}"))
        container.run(container.binaries / program, *words)
        asks = (
            f"import tardif; client = tardif.Client('http://127.0.0.1:{port}', token='{token}')\n"
            f"print(client.search('{_QUERY}', k=1)[0].document_id, client.rerank('{_QUERY}', ['A parcel.'])[0].rank)\n"
            "try: client.add(['A text.'])\n"
            "except tardif.TardifError as error: print(error)"
        )
        said = container.run(container.binaries / "python", "-c", asks)
        if not said.startswith("parcel 1\n") or "read-only" not in said:
            sys.exit(f"The service answered:\n{said}")
    finally:
        running.terminate()
        code = running.wait()
    if code:
        sys.exit(f"The service ended with {code}.")


def check_mcp(container: Container, index: Path) -> None:
    """Let an agent search the index."""
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "check", "version": "1"}}
    messages = (
        {"id": 1, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "search", "arguments": {"query": _QUERY}}},
    )
    with subprocess.Popen(
        [container.binaries / "tardif", "mcp", index],
        env=container.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for message in messages:
            running.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            running.stdin.flush()
            said = running.stdout.readline() if "id" in message else ""
        running.stdin.close()
    if running.returncode or '"parcel' not in said.replace("\\", ""):
        sys.exit(f"tardif mcp ended with {running.returncode} and answered:\n{said}")


def _allow(volume: Path, *, writing: bool) -> None:
    """Let a volume be written, or by nobody: as one that is mounted read-only."""
    for path in [volume, *volume.rglob("*")]:
        path.chmod((0o555 if path.is_dir() else 0o444) | (0o200 if writing else 0))


def install_light(place: Path, wheel: Path | None = None) -> Container:
    """Make the light installation in an empty folder, from a wheel or else from the sources."""
    container = Container(place)
    (place / "tmp").mkdir(parents=True)
    (place / "tmp").chmod(0o777)
    (place / "indexes").mkdir()
    follow(container, wheel)
    return container


def check_light(container: Container, index: Path, corpus: Path) -> str:
    """Check the light installation; returns the result in a line.

    Args:
        container: the installation.
        index: an index; it is copied.
        corpus: its documents.
    """
    place = container.root
    found = container.run(
        container.binaries / "python",
        "-c",
        f"import importlib.util as u; print([name for name in {_ABSENT} if u.find_spec(name)])",
    )
    if found.strip() != "[]":
        sys.exit(f"tardif[serve] brought {found.strip()}.")
    if container.grown > LARGEST:
        sys.exit(f"tardif[serve] takes {container.grown / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f}.")
    shutil.copytree(index, place / "indexes" / "support.index")
    check_verbs(container, place / "indexes" / "support.index", corpus)
    volume = place / "indexes"
    for folder in (place.parent, place):
        folder.chmod(0o755)  # another user runs the service
    for path in (place / "tmp").rglob("*"):
        path.chmod(0o777)
    _allow(volume, writing=False)
    check_service(container)
    check_mcp(container, volume / "support.index")
    _allow(volume, writing=True)
    return f"tardif[serve] takes {container.grown / 1e6:.0f} MB and runs what needs no torch."


def main() -> None:
    """Build an index, follow the Dockerfile, check."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        index = build_index(folder, new_model(folder))
        sys.stdout.write(check_light(install_light(folder / "container"), index, folder / "corpus.jsonl") + "\n")


if __name__ == "__main__":
    main()
