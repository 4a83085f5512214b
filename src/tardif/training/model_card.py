"""Model cards: the ``README.md`` of a checkpoint, with the metadata that the model hub reads.

A card says what a model is, how it was made and how good it is. It has names of files and counts, but no text, id or
path of the user's data. The same run gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.encoder.model import transformer_of
from tardif.escaping import visible
from tardif.evaluation.paired import format_p
from tardif.evaluation.verdict import UNMEASURED
from tardif.training.decision import BM25, RAW
from tardif.training.result import TrainingResult

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

CARD = "README.md"
# The heading of the one section that depends on where a model is; an export writes it again.
USE = "## How to use it"
LIBRARY = "sentence-transformers"
# As sentence-transformers' own cards of late-interaction models.
TAGS = (LIBRARY, "multi-vector", "colbert", "late-interaction", "tardif")
PIPELINE = "feature-extraction"
_TASK = ("multi-vector-information-retrieval", "Multi Vector Information Retrieval")

# The endings of files that hold data, left out of a data set's name.
_ENDING = re.compile(r"\.(jsonl?|ndjson|csv|tsv|txt|parquet|arrow|xlsx?|xlsm|tar|tgz|zip|gz|zst)$", re.IGNORECASE)
_ABSENT = ("values", "none")  # what a source is called that has no name
# Settings of the run beside the ones of training. The others may hold paths, or differ after a resumption.
_RUN = ("steps", "epochs_done", "best_step", "tardif")
_NOT_SHOWN = frozenset(
    {"other", "save_minutes", "save_steps", "stop_at_step", "evaluations", "evaluation_share", "guard"}
)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a card says of a model itself.

    Attributes:
        family: the encoder's ``model_type``.
        width: of a token vector.
        query_length, document_length: in tokens; None for the encoder's own limit.
        markers: what a query and a document begin with, by ``query`` and ``document``.
        expansion: the number of tokens that a short query is filled up to; 0 for none.
        skips_punctuation: whether documents' punctuation is left out of the score.
    """

    family: str
    width: int
    query_length: int | None
    document_length: int | None
    markers: Mapping[str, str]
    expansion: int
    skips_punctuation: bool

    @classmethod
    def of(cls, model: MultiVectorEncoder) -> ModelFacts:
        """Read the facts of an opened model."""
        from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

        transformer = transformer_of(model)
        encoder: Any = transformer.model
        expansion: Mapping[str, Any] = transformer.query_expansion or {}
        return cls(
            family=str(encoder.config.model_type),
            width=int(model.get_embedding_dimension() or 0),
            query_length=transformer.query_length,
            document_length=transformer.document_length,
            markers={name: text for name, text in model.prompts.items() if text and name in ("query", "document")},
            expansion=int(expansion.get("length") or 0),
            skips_punctuation=any(isinstance(m, MultiVectorMask) and m.skiplist_words for m in model),
        )


def model_card(name: str, facts: ModelFacts, result: TrainingResult | None = None) -> str:
    """Return the text of a model's card: YAML for the hub, then Markdown.

    Args:
        name: of the model: a folder's name or a hub id.
        facts: of the model.
        result: of the training; None for a model that was not trained here.
    """
    parts = [_introduction(name, facts, result), use_section(name), _recipe(facts, result)]
    if result is not None:
        parts += [_data(result.settings), _figures(result), _settings(result.settings)]
    else:
        parts += [f"## Figures\n\nThe quality of this model: {UNMEASURED}."]
    return f"---\n{_metadata(name, result)}\n---\n\n" + "\n\n".join(parts) + "\n"


def write_card(folder: Path, text: str) -> None:
    """Write a card into a model's folder.

    Raises:
        OSError: the file cannot be written.
    """
    # UTF-8 has no lone surrogates, and a name of a file may hold one.
    (folder / CARD).write_bytes(text.encode("utf-8", "replace"))


def use_section(name: str) -> str:
    """Return the section on the use of a model that sentence-transformers opens.

    Args:
        name: the folder's name or the hub id.
    """
    quoted = json.dumps(name, ensure_ascii=False)
    return f"""{USE}

In Tardif (`pip install tardif`):

```python
import tardif
retriever = tardif.Retriever.build({quoted}, "documents/", "documents.index")
print(retriever.search("a question", k=5))
```

In sentence-transformers 6.2 or later:

```python
from sentence_transformers import MultiVectorEncoder
model = MultiVectorEncoder({quoted})
print(model.similarity(model.encode_query(["a question"]), model.encode_document(["a text", "another"])))
```"""


def dataset_names(sources: Iterable[str]) -> list[str]:
    """Return the names of data sets that the hub accepts for the sources of a training.

    >>> dataset_names(["support questions.csv.gz", "scifact.tar.gz", "values"])
    ['support-questions', 'scifact']
    """
    names = []
    for source in sources:
        name = Path(source).name
        while _ENDING.search(name):
            name = _ENDING.sub("", name)
        name = re.sub(r"[^A-Za-z0-9_.]+|-{2,}|\.{2,}", "-", name).strip("-.")[:96]
        if name and source not in _ABSENT:
            names.append(name)
    return list(dict.fromkeys(names))


def _metadata(name: str, result: TrainingResult | None) -> str:
    from huggingface_hub import ModelCardData

    settings = result.settings if result else {}
    results = _results(result) if result else []
    data = ModelCardData(
        language=settings.get("language"),
        # Which licence a model has, its owner decides.
        license="unknown",
        library_name=LIBRARY,
        pipeline_tag=PIPELINE,
        tags=list(TAGS),
        base_model=settings.get("base_hub_id"),
        datasets=dataset_names(settings.get("data", {}).get("sources", ())) or None,
        metrics=[found.metric_type for found in results[::2]] or None,
        model_name=name.rsplit("/", 1)[-1],
        eval_results=results or None,
    )
    if not results:
        data.pop("model_name")
    return data.to_yaml(line_break="\n")


def _results(result: TrainingResult) -> list[Any]:
    """The figures of ``model-index``: each measure after training, and before it under a name of its own."""
    from huggingface_hub import EvalResult

    compared = result.comparison
    if compared is None or not result.after:
        return []
    names = dataset_names(result.settings.get("data", {}).get("sources", ()))
    folds = result.settings.get("folds", 1) > 1
    about: dict[str, Any] = {
        "task_type": _TASK[0],
        "task_name": _TASK[1],
        "dataset_type": "-".join(names) or "held-out-queries",
        "dataset_name": f"{compared.queries} held-out queries" + (f" of {', '.join(names)}" if names else ""),
        "dataset_split": "cross-validation" if folds else "validation",
        "metric_args": {"queries": compared.queries},
    }
    found = []
    for measure, value in result.after.items():
        kind = f"maxsim_{measure.lower()}"
        found.append(EvalResult(metric_type=kind, metric_value=value, metric_name=measure, **about))
        before: dict[str, Any] = {"metric_type": f"before_training_{kind}", "metric_name": f"{measure} before training"}
        found.append(EvalResult(metric_value=result.before[measure], **before, **about))
    return found


def _introduction(name: str, facts: ModelFacts, result: TrainingResult | None) -> str:
    made = ""
    if result is not None:
        made = f" Tardif {result.settings.get('tardif', '')} trained it from "
        made += f"{_base(result.settings)}."
    return (
        f"# {visible(name)}\n\nThis is a late-interaction (ColBERT) model for retrieval. It encodes a text as one "
        f"vector of {facts.width} components for each token. The score of a document for a query is MaxSim: each token "
        f"of the query takes its largest inner product with a token of the document, and these are added up.{made}"
    )


def _base(settings: Mapping[str, Any]) -> str:
    """The base for a reader: a link, or the bare name of a folder."""
    if found := settings.get("base_hub_id"):
        return f"[{found}](https://huggingface.co/{found})"
    return f"a model in a folder named {_code(Path(str(settings.get('base', ''))).name)}"


def _recipe(facts: ModelFacts, result: TrainingResult | None) -> str:
    def side(name: str, length: int | None) -> str:
        limit = "as many tokens as the encoder reads" if length is None else f"at most {length} tokens"
        marker = facts.markers.get(name)
        return f"{limit}, {f'marked by {_code(marker)}' if marker else 'no marker'}"

    fill = f"; short ones are filled up to {facts.expansion} tokens with mask tokens" if facts.expansion else ""
    rows = [
        *([("base", _base(result.settings))] if result else []),
        ("encoder", facts.family),
        ("token vectors", f"{facts.width} components, unit length"),
        ("queries", side("query", facts.query_length) + fill),
        ("documents", side("document", facts.document_length)),
        ("punctuation of documents", "not scored" if facts.skips_punctuation else "scored"),
    ]
    return f"## Recipe\n\n{_table(('', ''), rows)}"


def _data(settings: Mapping[str, Any]) -> str:
    data: Mapping[str, Any] = settings.get("data", {})
    counted = ("documents", "training queries", "validation queries", "examples", "hard negatives")
    rows = [(what, f"{data[what]:,}") for what in counted if what in data]
    named = [name for name in data.get("sources", ()) if name not in _ABSENT]
    rows += [("sources", ", ".join(map(_code, named)) or "values in memory")]
    rows += [("language", str(settings["language"]))] if settings.get("language") else []
    rows += [("miner of hard negatives", str(data["miner"]))] if data.get("miner") else []
    return f"## Training data\n\n{_table(('', ''), rows)}\n\nThe texts are not part of this repository."


def _figures(result: TrainingResult) -> str:
    lines = ["## Figures"]
    compared = result.comparison
    if compared is None:
        return f"{lines[0]}\n\nThe quality of this model: {UNMEASURED} ({visible(result.reason or 'no reason given')})."
    against = "the base's raw token vectors" if compared.against == RAW else "this recipe before the first step"
    lines.append(
        f"On {result.settings.get('validation') or f'{compared.queries} held-out queries'}. *Before* is the stronger "
        f"of two untrained systems, here {against}."
    )
    head = ("measure", "before", "after", "difference", "95 % interval", "p", "BM25")
    rows = []
    for name, found in compared.measures.items():
        interval = f"{found.low:+.4f} to {found.high:+.4f}"
        values = [f"{value:.4f}" for value in (result.before[name], result.before[name] + found.difference)]
        bm25 = result.baselines.get(BM25, {}).get(name)
        last = (format_p(found.p), "" if bm25 is None else f"{bm25:.4f}")
        rows.append((name, *values, f"{found.difference:+.4f}", interval, *last))
    lines += [_table(head, rows), f"Verdict: {compared.words()}."]
    lines += [visible(found.sentence()) for found in result.guard]
    if not result.kept:
        lines.append(
            "The trained model was worse, so this is the untrained one (step 0). Its figures: "
            + ", ".join(f"{name} {value:.4f}" for name, value in result.after.items())
            + "."
        )
    elif len(result.settings.get("evaluated", ())) > 1:
        lines.append("The checkpoint was chosen on these queries: expect a little less on others.")
    if result.interrupted or result.failure:
        lines.append("The training did not reach its end; this is its best checkpoint.")
    return "\n\n".join(lines)


def _settings(settings: Mapping[str, Any]) -> str:
    from dataclasses import fields

    from tardif.training.settings import TrainingSettings

    own = [field.name for field in fields(TrainingSettings) if field.name not in _NOT_SHOWN]
    rows = [(_code(name), _code(settings[name])) for name in (*own, *_RUN) if settings.get(name) is not None]
    return f"## Settings\n\n{_table(('setting', 'value'), rows)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(value: object) -> str:
    """A value as code in a cell of a table."""
    return "`" + visible(str(value)).replace("`", "'").replace("|", "\\|") + "`"
