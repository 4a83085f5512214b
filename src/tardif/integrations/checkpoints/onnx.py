"""The encoder as ONNX graphs, with a recipe by which any program can encode: fp32, and int8 with its measured loss.

model.onnx, encoder.json   the query encoder of :mod:`tardif.encoder.onnx`, which a search opens
model_int8.onnx            the same graph with the weights of matrix products in 8 bits (onnxruntime, dynamic)
tokenizer.json             in the format of the ``tokenizers`` library
recipe.json                how a query and a document become ids, and which ids have vectors; the loss of int8

One graph serves queries and documents: they differ in their prompt, their length, and the tokens that are scored.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.checksums import checksum, fault
from tardif.encoder.blanks import Blanks
from tardif.encoder.onnx.folder import GRAPH, INPUTS, OUTPUT, SETTINGS, TOKENIZER
from tardif.encoder.onnx.runtime import runtime
from tardif.errors import FolderError, ModelError
from tardif.folders import read_json, write_json

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

FORMAT, VERSION = "tardif-onnx", 1
INT8, RECIPE = "model_int8.onnx", "recipe.json"
GRAPHS = {"fp32": GRAPH, "int8": INT8}
TASKS = ("query", "document")
# The largest difference of a vector's number between PyTorch and the fp32 graph.
_CLOSE = 1e-4
Vectors = NDArray[np.float32]


def write(model: MultiVectorEncoder, folder: Path, texts: Sequence[str]) -> list[str]:
    """Write the graphs, the tokenizer and the recipe, and measure int8.

    Args:
        model: the model.
        folder: an empty folder.
        texts: the texts that int8 is measured on.

    Returns:
        The loss of int8, in words.

    Raises:
        ModelError: the model cannot be exported; the message says why.
    """
    from tardif.encoder.onnx.convert import export_query_encoder

    export_query_encoder(model, folder / "query")
    for name in (GRAPH, TOKENIZER, SETTINGS):
        (folder / "query" / name).rename(folder / name)
    (folder / "query").rmdir()
    _quantise(folder)
    recipe = _recipe(model, folder)
    write_json(folder / RECIPE, recipe)
    exact = _encode_all(OnnxEncoder(folder), texts)
    _compare(model, exact, texts)
    loss = _loss(exact, _encode_all(OnnxEncoder(folder, precision="int8"), texts), len(texts))
    write_json(folder / RECIPE, {**recipe, "int8": loss})
    return [
        f"int8 on {loss['texts']} texts: a token vector is off by {loss['vector_distance_mean']:.3f} on average and "
        f"{loss['vector_distance_max']:.3f} at most, a MaxSim score per query token by "
        f"{loss['score_max']:.4f} at most; {loss['same_best']:.0%} of the queries keep their best document."
    ]


def _quantise(folder: Path) -> None:
    runtime()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # The library advises on the root logger to prepare graphs of images first.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(str(folder / GRAPH), str(folder / INT8), weight_type=QuantType.QInt8, per_channel=True)
    finally:
        logging.disable(before)


def _recipe(model: MultiVectorEncoder, folder: Path) -> dict[str, Any]:
    """Return the recipe: the query's as :mod:`tardif.encoder.onnx` wrote it, and the document's beside it."""
    from tardif.encoder.blanks import blanks_of, skipped_ids

    query = read_json(folder / SETTINGS, what="a query encoder")
    transformer: Any = model[0]
    blanks, tokenizer = blanks_of(model), transformer.tokenizer
    longest = transformer.document_length or tokenizer.model_max_length
    tasks = {
        "query": {name: query[name] for name in ("prompt", "max_tokens", "expansion", "skipped_ids")},
        "document": {
            "prompt": model.prompts.get("document") or "",
            "max_tokens": int(min(longest, tokenizer.model_max_length)),
            "expansion": None,
            "skipped_ids": sorted(skipped_ids(model, "document")),
        },
    }
    for task, about in tasks.items():
        # The tokens that the prompt becomes, behind the start: a marker's id at position 1, or nothing.
        count = blanks.prompts[task]
        about["prompt_tokens"] = count
        about["prompt_ids"] = [int(number) for number in tokenizer(about["prompt"] + "a")["input_ids"][1:count]]
    return {
        "format": FORMAT,
        "version": VERSION,
        "inputs": list(INPUTS),
        "output": OUTPUT,
        "dim": query["dim"],
        "graphs": GRAPHS,
        "tokenizer": TOKENIZER,
        "score": "MaxSim: for each query vector the largest inner product with a document vector, summed",
        "vectors": "unit length; only tokens that are attended to or filled in, and not skipped, have one",
        "pad_id": query["pad_id"],
        "truncation_side": query["truncation_side"],
        **tasks,
        "blank": {"ids": sorted(blanks.ids), "punctuation": blanks.punctuation},
        "checksums": {name: checksum(folder / name) for name in (*GRAPHS.values(), TOKENIZER)},
    }


class OnnxEncoder:
    """Encodes with nothing but an exported folder: the recipe as a program, with numpy, tokenizers and onnxruntime.

    Args:
        folder: a folder of the format ``onnx``.
        precision: ``fp32`` or ``int8``.

    Raises:
        FolderError: the folder is of another kind, or damaged.
    """

    def __init__(self, folder: str | Path, *, precision: str = "fp32") -> None:
        from tokenizers import Tokenizer

        from tardif.encoder.config_checks import check_tokenizer
        from tardif.encoder.onnx.graph import check_graph

        self.folder = Path(folder)
        found = read_json(self.folder / RECIPE, what="an ONNX export")
        if not isinstance(found, dict) or (found.get("format"), found.get("version")) != (FORMAT, VERSION):
            raise FolderError(
                f"{self.folder / RECIPE} is no recipe of {FORMAT} {VERSION}: export the checkpoint again."
            )
        self.recipe: Mapping[str, Any] = found
        name, sums = GRAPHS[precision], found.get("checksums")
        for file in (name, TOKENIZER):
            expected = sums.get(file) if isinstance(sums, dict) else None
            if problem := fault(self.folder / file, str(expected)):
                raise FolderError(f"{self.folder / file} {problem}: export the checkpoint again.")
        # A checksum tells accidents, not intent: what a library would act on is checked before it does.
        check_tokenizer(self.folder / TOKENIZER)
        try:
            check_graph(self.folder / name)
        except ValueError as error:
            raise FolderError(
                f"{self.folder / name} cannot be opened ({error}): export the checkpoint again."
            ) from error
        self._tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        onnxruntime = runtime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session: Any = onnxruntime.InferenceSession(
            str(self.folder / name), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str], task: str) -> list[Vectors]:
        """Encode texts one by one.

        Args:
            texts: the texts.
            task: ``query`` or ``document``.

        Returns:
            The unit vectors of each text, ``[tokens, dim]``; none for a blank text.
        """
        about, blank = self.recipe[task], self.recipe["blank"]
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(about["max_tokens"], direction=self.recipe["truncation_side"])
        blanks = Blanks(frozenset(blank["ids"]), {task: about["prompt_tokens"]}, blank["punctuation"])
        return [self._one(text, task, blanks) for text in texts]

    def _one(self, text: str, task: str, blanks: Blanks) -> Vectors:
        about = self.recipe[task]
        ids = self._tokenizer.encode(about["prompt"] + text).ids
        if blanks.holds(text, ids, task):
            return np.zeros((0, self.recipe["dim"]), dtype=np.float32)
        attended, scored, expansion = [1] * len(ids), [True] * len(ids), about["expansion"]
        if expansion is not None and len(ids) < expansion["length"]:
            missing = expansion["length"] - len(ids)
            ids = ids + [expansion["token_id"]] * missing
            attended += [int(expansion["attend"])] * missing
            scored += [expansion["scored"]] * missing
        rows = np.array([ids], dtype=np.int64), np.array([attended], dtype=np.int64)  # [1, tokens] each
        (vectors,) = self._session.run([OUTPUT], dict(zip(INPUTS, rows, strict=True)))  # [1, tokens, dim]
        kept = np.array(scored) & ~np.isin(ids, about["skipped_ids"])  # [tokens]
        return np.asarray(vectors[0][kept], dtype=np.float32)


def _encode_all(encoder: OnnxEncoder, texts: Sequence[str]) -> dict[str, list[Vectors]]:
    """The vectors of the texts, by task."""
    return {task: encoder.encode(texts, task) for task in TASKS}


def _compare(model: MultiVectorEncoder, exact: Mapping[str, list[Vectors]], texts: Sequence[str]) -> None:
    """Raise a ModelError unless the fp32 graph and the recipe gave the model's vectors."""
    from tardif.encoder.encoding import encode_texts

    for task in TASKS:
        packed, lengths = encode_texts(model, texts, task)
        theirs = np.split(packed, np.cumsum(lengths)[:-1])
        for text, mine, yours in zip(texts, exact[task], theirs, strict=True):
            if mine.shape != yours.shape or (mine.size and float(np.abs(mine - yours).max()) > _CLOSE):
                raise ModelError(
                    f"The checkpoint cannot be exported to the format onnx: {text[:40]!r} has other vectors."
                )


def _loss(exact: Mapping[str, list[Vectors]], coarse: Mapping[str, list[Vectors]], count: int) -> dict[str, Any]:
    """Compare int8 with fp32: distances of token vectors, and MaxSim of every text as a query with every document."""
    pairs = [pair for task in TASKS for pair in zip(exact[task], coarse[task], strict=True)]
    far = np.concatenate([np.linalg.norm(one - other, axis=1) for one, other in pairs])
    tables = []
    for found in (exact, coarse):
        queries, documents = ([vectors for vectors in found[task] if len(vectors)] for task in TASKS)
        scores = [[(one @ other.T).max(axis=1).mean() for other in documents] for one in queries]
        tables.append(np.array(scores))  # [queries, documents], per query token
    apart = np.abs(tables[0] - tables[1])
    return {
        "texts": count,
        "vector_distance_mean": round(float(far.mean()), 6),
        "vector_distance_max": round(float(far.max()), 6),
        "score_mean": round(float(apart.mean()), 6),
        "score_max": round(float(apart.max()), 6),
        "same_best": round(float((tables[0].argmax(axis=1) == tables[1].argmax(axis=1)).mean()), 6),
    }
