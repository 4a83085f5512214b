"""Check checkpoints against the tools whose formats they are in: token vectors and MaxSim scores, both ways.

    python tools/interop.py --pylate PYTHON --colbert PYTHON [--work DIR]

``make interop`` builds the two environments. Per family of encoders and recipe, the table says the largest difference
of a token vector's number and of a score, over all texts:

    writes   Tardif exports, the peer loads. Where the peer's format cannot say a recipe, Tardif reads the folder
             without its own key, by the peer's rules alone.
    reads    the peer saves its own checkpoint, Tardif loads it.

A difference above 1e-5 fails (a score's: 1e-5 per query token), and so does another number of tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
os.environ["HF_HUB_OFFLINE"] = "1"

QUERIES = [
    "How do I reset the password of my account?",
    "moon",
    "rates, 0.25% (March)",
    "Été à Zürich",
    "晚期交互 模型",
    "which of the three long contracts that he signed in the winter ends after the first year and " * 4,
]
DOCUMENTS = [
    "Late interaction keeps one vector per token of a text.",
    "the moon",
    "A query of three words (or two) is short!",
    "He paid 12 dollars for a book that costs 20.",
    "東京は日本の首都です。",
    "Été, hiver; printemps: à Paris.",
    "The contract ends after three years unless it is renewed. " * 20,
]
CLOSE = 1e-5
RECIPES: dict[str, dict[str, Any]] = {
    "filled": {"strategy": "fixed", "length": 32, "attend": False},
    "filled, attended": {"strategy": "fixed", "length": 32, "attend": True},
    "min": {"strategy": "min", "length": 32, "attend": False},
    "none": {},
}
KEYS = {"stanford": "artifact.metadata", "pylate": "config_sentence_transformers.json"}
FORMATS = {"colbert": "stanford", "pylate": "pylate"}


@dataclass
class Case:
    """One folder that a peer and Tardif both encode with."""

    peer: str
    way: str
    name: str
    step: dict[str, Any]
    tardif: Path


def bases(work: Path) -> dict[str, Path]:
    """Write a tiny base of every family, and find the real one."""
    import tiny
    from tardif.encoder.base import offline_base

    found = {family: tiny.save_base(family, work / "bases" / family) for family in tiny.FAMILIES}
    real = offline_base()
    if real is not None:
        # A copy: an installer may have put links in place of the files.
        found["all-MiniLM-L6-v2"] = Path(shutil.copytree(real, work / "bases" / "minilm"))
    # A filled query lies inside the window of a real ModernBERT. Where a window of its local attention has nothing but
    # unattended mask tokens, transformers 4 and 5 compute different numbers.
    path = found["modernbert"] / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "local_attention": 128}), encoding="utf-8")
    for base in found.values():  # transformers 4, which colbert-ai runs on, does not know the classes of version 5
        path = base / "tokenizer_config.json"
        settings = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**settings, "tokenizer_class": "PreTrainedTokenizerFast"}), encoding="utf-8")
    return found


def written(work: Path, found: dict[str, Path]) -> list[Case]:
    """Export models of every family and recipe."""
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe
    from tardif.integrations.checkpoints import export_checkpoint

    cases = []
    for family, base in found.items():
        # All recipes with one family, and the usual one with all: loading each folder three times takes the time.
        for recipe, expansion in RECIPES.items() if family == "bert" else [("filled", RECIPES["filled"])]:
            for projected in (True, False) if (family, recipe) == ("bert", "filled") else (True,):
                name = f"{family}, {recipe}{'' if projected else ', no projection'}"
                model = build_model(
                    resolve_base(base),
                    Recipe(dim=16 if projected else None, query_length=40, document_length=100, markers=True),
                )
                model[0].query_expansion = expansion or None
                own = work / "own" / name
                model.save_pretrained(str(own), create_model_card=False)
                for peer, form in FORMATS.items():
                    folder = work / form / name
                    said = export_checkpoint(own, folder, form).notes
                    theirs = plain(folder, work / "plain" / form / name, KEYS[form]) if said else own
                    cases.append(Case(peer, "writes", name, {"load": str(folder)}, theirs))
        if family != "bert":
            continue
        bare = work / "own" / f"{family}, no markers"
        build_model(
            resolve_base(base), Recipe(dim=16, query_length=40, document_length=100, markers=False)
        ).save_pretrained(str(bare), create_model_card=False)
        export_checkpoint(bare, work / "pylate" / bare.name, "pylate")
        cases.append(Case("pylate", "writes", bare.name, {"load": str(work / "pylate" / bare.name)}, bare))
    return cases


def plain(folder: Path, copy: Path, settings: str) -> Path:
    """Copy a folder without what Tardif alone reads."""
    shutil.copytree(folder, copy)
    (copy / "checksums.json").unlink()
    said = json.loads((copy / settings).read_text(encoding="utf-8"))
    del said["tardif"]
    (copy / settings).write_text(json.dumps(said), encoding="utf-8")
    return copy


def saved(work: Path, found: dict[str, Path]) -> list[Case]:
    """Plan the checkpoints that the peers save."""
    cases = []
    for family, base in found.items():
        variants = {
            "filled": {},
            "filled, attended": {"attend_to_expansion_tokens": True},
            "none": {"do_query_expansion": False},
            "no markers": {"query_prefix": "", "document_prefix": ""},
            "no skiplist": {"skiplist_words": []},
        }
        for name, settings in variants.items() if family == "bert" else [("filled", {})]:
            folder = work / "peer" / "pylate" / f"{family}, {name}"
            step = {
                "base": str(base),
                "save": str(folder),
                "settings": {"document_length": 100, "embedding_size": 24, **settings},
            }
            cases.append(Case("pylate", "reads", folder.name, step, folder))
        for name, attend in (
            (("filled", False), ("filled, attended", True)) if family == "bert" else (("filled", False),)
        ):
            folder = work / "peer" / "colbert" / f"{family}, {name}"
            # Any two tokens serve as markers that no text has; BERT has some of its own.
            tokens = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
            names = list(tokens) if isinstance(tokens, dict) else [token for token, _ in tokens]
            texts = " ".join([*QUERIES, *DOCUMENTS])
            unused = [name for name in names if len(name) > 4 and name.strip("\u2581\u0120#") not in texts]
            markers = ("[unused0]", "[unused1]") if "[unused0]" in names else (unused[-1], unused[-2])
            settings = {"dim": 24, "doc_maxlen": 100, "attend_to_mask_tokens": attend, "mask_punctuation": True}
            settings |= {"query_token_id": markers[0], "doc_token_id": markers[1]}
            step = {"base": str(base), "save": str(folder), "settings": settings}
            cases.append(Case("colbert", "reads", folder.name, step, folder))
    return cases


def ask(peer: str, python: str, cases: list[Case], work: Path) -> None:
    """Let a peer do its steps in its environment."""
    for number, case in enumerate(cases):
        case.step["out"] = str(work / f"{peer}-{case.way}-{number}.npz")
    job = work / f"{peer}.json"
    steps = [case.step for case in cases]
    job.write_text(json.dumps({"queries": QUERIES, "documents": DOCUMENTS, "steps": steps}), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, str(ROOT / "tools" / "interop_peer.py"), peer, str(job)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False, cwd=work)
    if done.returncode:
        sys.exit(f"{peer} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def compare(case: Case) -> tuple[float, float] | str:
    """Return the largest difference of vectors and of scores, or what went wrong."""
    out = Path(case.step["out"])
    try:
        found = dict(np.load(out))
    except (ValueError, OSError):
        return out.read_text(encoding="utf-8").splitlines()[0][:120] if out.exists() else "no answer"
    from tardif.encoder.model import open_model

    model = open_model(str(case.tardif))
    queries = [model.encode_query([text], show_progress_bar=False)[0].numpy() for text in QUERIES]
    documents = [model.encode_document([text], show_progress_bar=False)[0].numpy() for text in DOCUMENTS]
    ours = {**{f"q{n}": one for n, one in enumerate(queries)}, **{f"d{n}": one for n, one in enumerate(documents)}}
    for name, vectors in ours.items():
        if vectors.shape != found[name].shape:
            return f"{name}: {found[name].shape} for {vectors.shape}"
    far = max(float(np.abs(vectors - found[name]).max()) for name, vectors in ours.items())
    scores = [[float((one @ other.T).max(axis=1).sum()) for other in documents] for one in queries]
    per_token = np.abs(np.array(scores) - found["scores"]) / np.array([[len(one)] for one in queries])
    return far, float(per_token.max())


def say(line: str) -> None:
    """Print a line at once: the whole check takes minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for peer in FORMATS:
        parser.add_argument(f"--{peer}", metavar="PYTHON")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    work = (options.work or Path(tempfile.mkdtemp())).absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    found = bases(work)
    cases = [*written(work, found), *saved(work, found)]
    failed = 0
    say("| peer | Tardif | checkpoint | vectors | scores per token |\n| --- | --- | --- | --- | --- |")
    for peer in FORMATS:
        python = getattr(options, peer)
        if not python:
            continue
        own = [case for case in cases if case.peer == peer]
        ask(peer, python, own, work)
        for case in own:
            result = compare(case)
            wrong = isinstance(result, str) or max(result) > CLOSE
            failed += wrong
            cells = f"{result} | " if isinstance(result, str) else f"{result[0]:.1e} | {result[1]:.1e}"
            say(f"| {peer} | {case.way} | {case.name}{' **differs**' if wrong else ''} | {cells} |")
    if failed:
        sys.exit(f"{failed} checkpoints differ.")


if __name__ == "__main__":
    main()
