"""Find the format of a path or value, and open it as a source of judgements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tardif.data.formats import frames, trec
from tardif.data.formats.cells import TEXT_TABLES, CellTable, open_cells
from tardif.data.formats.colbert import NAMES, RAGATOUILLE_NAMES, find_colbert, open_colbert, open_colbert_held_out
from tardif.data.formats.column_names import QUERY_COLUMNS
from tardif.data.formats.columns import ColumnChoices
from tardif.data.formats.files import check_file, kind_of
from tardif.data.formats.form import Form
from tardif.data.formats.irds import irds_id, open_irds
from tardif.data.formats.json_files import is_json_array, json_elements, json_lines, json_objects
from tardif.data.formats.table_rows import ARROW, JSON_LINES
from tardif.data.formats.tables import LooseSource, TableSource
from tardif.data.formats.trec_folder import find_parts, is_qrels
from tardif.data.formats.workbooks import WORKBOOKS, open_sheet
from tardif.data.records import Source
from tardif.data.regular import check_regular, is_folder, note_opened, user_path
from tardif.data.training_set import is_training_set
from tardif.errors import DataError
from tardif.extras import need

ColumnsWish = Mapping[str, str | Sequence[str] | None]

# The kinds of file that hold rows; the text ones also as ``.gz`` and ``.zst``.
SUFFIXES = (*JSON_LINES, ".json", *TEXT_TABLES, ".parquet", *ARROW, *WORKBOOKS)


def open_source(
    source: Any,
    *,
    columns: ColumnsWish | None = None,
    split: str = "train",
    group_by: str | None = None,
    form: Form | None = None,
    positive_label: str | None = None,
    runs: bool = True,
) -> Source:
    """Open training data in any format, without reading all of it.

    Args:
        source: a path to a file (:data:`SUFFIXES`, the text ones plain, gzip or zstd), or to a folder
            (BEIR's, ColBERT's, RAGatouille's, TREC's, one saved by ``datasets`` or of its Parquet
            files); an id of ir-datasets, which names its split (``irds:beir/scifact/test``); a dict of the files of a
            TREC collection (``qrels``, ``queries``, ``corpus``, ``run``); a dict of columns; a Hugging Face dataset; a
            pandas or polars frame; an Arrow table; or
            any iterable of dicts or of tuples (query, positive), (query, document, label),
            (query, positive, negative, ...). Pipes and devices are refused: a file is read more than once.
        columns: role to column, for columns with unusual names; None leaves a role out. The roles are :data:`ROLES`.
        split: the split of a source that has several.
        group_by: the column (or field of queries or documents) by which judgements are grouped.
        form: separator, encoding and sheet of a table, where its file does not state them.
        positive_label: the label that means relevant; with it, a text in the third place of a tuple is a label.
        runs: whether hits of a TREC collection's run are negatives; nobody has judged them.

    Raises:
        DataError: the source has no known format; the message lists what was found and what can be read.

    >>> source = open_source([{"question": "what makes the tides", "answer": "the moon"}])
    >>> [(found.query, found.document, found.role) for found in source.judgements()]
    [('what makes the tides', 'the moon', 'positive')]
    """
    choices = ColumnChoices.of(columns, group_by, positive_label)
    if isinstance(source, str | Path):
        return _open_path(source, choices, split, form or Form(), runs=runs)
    if frames.is_a(source, "datasets", "DatasetDict", "IterableDatasetDict"):
        return _of_dataset(_split_of(source, split, "data"), choices, "data")
    if not isinstance(source, Mapping):
        return _open_value(source, choices)
    if source and not any(isinstance(value, str | Path) for value in source.values()):
        return _of_frame(frames.open_columns(source), choices, "data")
    _no_columns(choices, "a TREC collection")
    return trec.open_trec(trec.named_files(source), group_by, runs=runs)


def _open_path(source: str | Path, choices: ColumnChoices, split: str, form: Form, *, runs: bool) -> Source:
    if (identity := irds_id(source)) is not None:
        _no_columns(choices, "a collection of ir-datasets")
        return open_irds(identity, choices.group_by)
    path = user_path(source)
    if not is_folder(path):
        return _open_file(path, choices, form)
    return _open_folder(path, choices, split, runs=runs, encoding=form.encoding)


def held_out_sources(
    source: Any, *, columns: ColumnsWish | None = None, split: str = "train", group_by: str | None = None
) -> list[Source]:
    """Open the splits that a source declares to be for validation, except the one named ``split``.

    They have judgements, and only those texts that :func:`open_source` of the same source lacks: use both together.

    Raises:
        DataError: as for :func:`open_source`.
    """
    choices = ColumnChoices.of(columns, group_by)
    if isinstance(source, str | Path):
        folder = user_path(source)
        return _held_out_of_folder(folder, choices, split) if is_folder(folder) else []
    if frames.is_a(source, "datasets", "DatasetDict", "IterableDatasetDict"):
        return [_of_dataset(source[name], choices, f"data ({name})") for name in _validation(source, split)]
    return []


def _open_file(path: Path, choices: ColumnChoices, form: Form) -> Source:
    check_file(path)
    kind, name = kind_of(path), str(path)
    # Parquet, Arrow and workbooks are compressed inside; packed again they could not be read in parts.
    packed = kind != path.suffix.lower()
    if is_qrels(path):
        if choices.chosen.keys() - QUERY_COLUMNS:  # those of the queries are for their list
            _no_columns(choices, "a file of TREC qrels")
        return trec.open_qrels(path)
    if kind in (*JSON_LINES, ".json"):
        return _open_json(path, choices, form.encoding)
    if kind in TEXT_TABLES:
        return _of_cells(open_cells(path, form, choices.named), choices)
    if kind in WORKBOOKS and not packed:
        return _of_cells(open_sheet(path, form, choices.named), choices)
    if kind == ".parquet" and not packed:
        return _of_frame(frames.open_parquet([path], path), choices, name)
    if kind in ARROW and not packed:
        return _of_frame(frames.open_ipc(path), choices, name)
    suffix = "".join(path.suffixes[-2:]) if packed else path.suffix
    raise DataError(
        f"is of a kind that is not read ({suffix or 'no suffix'}): use {', '.join(SUFFIXES)} "
        "(the text ones also with .gz or .zst).",
        path,
    )


def _open_json(path: Path, choices: ColumnChoices, encoding: str | None) -> Source:
    """Open JSON lines or an array, of objects or of lists; lists are read as tuples."""
    is_array = is_json_array(path, encoding)
    values = json_elements if is_array else json_lines
    # JSON lines of lists have no names: they are tuples, recognised by their first value.
    _, first = next(values(path, encoding), (0, None))
    if type(first) is list:
        return frames.open_tuples(values(path, encoding), first, choices, str(path))
    what = "JSON array" if is_array else "JSON lines"
    return LooseSource(str(path), lambda: json_objects(path, encoding), choices, what=what)


def _of_cells(table: CellTable, choices: ColumnChoices) -> Source:
    rows = table.texts if table.typed else table.rows
    of_cells: dict[str, Any] = {"cells": True, "header": table.line, "remarks": table.remarks}
    return TableSource(str(table.path), table.names, rows, choices, what=table.what, **of_cells)


def _open_folder(
    folder: Path,
    choices: ColumnChoices,
    split: str,
    *,
    name: str | None = None,
    runs: bool = True,
    encoding: str | None = None,
) -> Source:
    if is_training_set(folder):
        raise DataError("is prepared already: train on it.", folder)
    # From the layout that is recognised for certain to those known by their file names.
    if splits := _saved_splits(folder):
        return _of_dataset(_load_saved(folder, splits, split), choices, name or str(folder))
    if not trec.is_beir(folder) and (shards := _shards(folder, split)):
        return _of_frame(frames.open_parquet(shards, folder), choices, name or str(folder))
    _no_columns(choices, "a collection in a folder")
    if trec.is_beir(folder):
        return trec.open_beir(folder, split, choices.group_by)
    if (found := find_colbert(folder)) is not None:
        return open_colbert(found, choices.group_by)
    if (files := trec.find_files(folder, split) or _parts(folder, split)) is not None:
        return trec.open_trec(files, choices.group_by, runs=runs, encoding=encoding)
    raise UnknownLayoutError(
        "is a folder of no known layout. Looked for: BEIR (corpus.jsonl, queries.jsonl, qrels/); "
        f"ColBERT ({', '.join(NAMES)}); RAGatouille ({', '.join(RAGATOUILLE_NAMES)}); TREC (qrels.txt, queries.tsv "
        f"or topics.txt, corpus.jsonl or files of <DOC>, or the same with the split as in qrels.{split}.tsv); a saved "
        f"Hugging Face dataset (dataset_dict.json or state.json) or its Parquet files ({split}*.parquet). Give one of "
        "these, or a file.",
        folder,
    )


def _parts(folder: Path, split: str) -> trec.TrecFiles | None:
    found = find_parts(folder, split)
    return None if found is None else trec.TrecFiles(str(folder), *found)


class UnknownLayoutError(DataError):
    """A folder has none of the layouts that are read."""


def has_known_layout(folder: Path, split: str) -> bool:
    """Whether a folder is data of a known layout, whole or not."""
    try:
        _open_folder(folder, ColumnChoices.of(None, None), split)
    except UnknownLayoutError:
        return False
    except DataError:
        return True
    return True


def open_collection(folder: Path) -> Source | None:
    """Open ColBERT's or TREC's files in a folder, of any split; None if there are none."""
    if (found := find_colbert(folder)) is not None:
        return open_colbert(found)
    for split in ("train", *trec.VALIDATION_SPLITS, "test"):
        if (files := trec.find_files(folder, split)) is not None:
            return trec.open_trec(files)
    return None


def _held_out_of_folder(folder: Path, choices: ColumnChoices, split: str) -> list[Source]:
    if trec.is_beir(folder):
        names = _validation(trec.splits(folder), split)
        return [trec.open_beir(folder, name, choices.group_by, held_out=True) for name in names]
    if (found := find_colbert(folder)) is not None:
        return [*open_colbert_held_out(found, split)]
    if (files := trec.find_files(folder, split)) is not None:
        parts = trec.find_held_out(folder, files.corpus, split)
        return [trec.open_trec(part, choices.group_by, held_out=True) for part in parts]
    names = _saved_splits(folder) or [name for name in trec.VALIDATION_SPLITS if _shards(folder, name)]
    return [_open_folder(folder, choices, name, name=f"{folder} ({name})") for name in _validation(names, split)]


def _validation(names: Iterable[str], split: str) -> list[str]:
    """The validation splits among some names, except the split for training."""
    names = set(names)
    return [name for name in trec.VALIDATION_SPLITS if name in names and name != split]


def _open_value(value: Any, choices: ColumnChoices) -> Source:
    if frames.is_a(value, "datasets", "IterableDataset"):
        return _of_dataset(value, choices, "data")
    if (frame := frames.frame_of(value)) is not None:
        return _of_frame(frame, choices, "data")
    try:
        items = iter(value)
    except TypeError:
        raise DataError(f"a value of type {type(value).__name__} holds no rows: give a path or an iterable.") from None
    return frames.open_rows(items, choices)


def _of_frame(frame: frames.Frame, choices: ColumnChoices, name: str) -> Source:
    return TableSource(name, frame.names, frame.rows, choices, what=frame.what)


def _of_dataset(dataset: Any, choices: ColumnChoices, name: str) -> Source:
    if frames.is_a(dataset, "datasets", "Dataset"):
        return _of_frame(frames.open_dataset(dataset, name), choices, name)
    return frames.open_rows(dataset, choices, name)


def _split_of(splits: Mapping[str, Any], split: str, where: str | Path) -> Any:
    if split not in splits:
        raise DataError(f"has no split {split} (it has: {', '.join(splits) or 'none'}): name one of its splits.", where)
    return splits[split]


def _saved_splits(folder: Path) -> list[str]:
    """The splits of a folder saved by ``datasets``; [""] for a single dataset, [] for any other folder."""
    if (folder / "dataset_dict.json").is_file():
        return sorted(path.parent.name for path in folder.glob("*/state.json")) or [""]
    return [""] if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file() else []


def saved_dataset(folder: Path) -> Any:
    """The dataset that ``datasets`` saved in a folder; None for any other folder.

    Raises:
        DataError: it has several splits, or is damaged.
    """
    splits = _saved_splits(folder)
    if len(splits) > 1:
        raise DataError(f"has the splits {', '.join(splits)}: give the folder of one of them.", folder)
    return _load_saved(folder, splits, splits[0]) if splits else None


def _load_saved(folder: Path, splits: Sequence[str], split: str) -> Any:
    if splits != [""]:
        _split_of(dict.fromkeys(splits), split, folder)
        folder = folder / split
    for path in sorted(folder.rglob("*")):
        if not path.is_dir():
            check_regular(path)  # datasets would wait for a writer of a pipe
            note_opened(path)
    need("train", f"Reading {folder}, which datasets saved,", ["datasets"])
    try:
        import datasets

        return datasets.load_from_disk(str(folder))
    except Exception as error:  # datasets raises an exception of its own for each fault of the files
        raise DataError(f"is no whole Hugging Face dataset ({error}): save it again.", folder) from error


def _shards(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split, in the layout of the Hugging Face hub."""
    # The hub puts shards in data/ where datasets pushes them, and at the top where people upload them.
    for place in (folder, folder / "data"):
        found = [path for pattern in (f"{split}.parquet", f"{split}-*.parquet") for path in place.glob(pattern)]
        if found:
            return sorted(found)
    return []


def _no_columns(choices: ColumnChoices, what: str) -> None:
    if choices.chosen:
        raise DataError(f"columns choose columns of rows, and this is {what}: leave them out.")
