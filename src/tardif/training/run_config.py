"""What is to be trained, and its form on disk, in which other processes are given it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tardif.data.training_set import TrainingSet
from tardif.encoder.base import Base
from tardif.encoder.recipe import Recipe
from tardif.errors import SettingError
from tardif.evaluation.verdict import Values
from tardif.folders import read_json, write_json
from tardif.progress import Console
from tardif.text.languages import Language
from tardif.text.languages import language as find_language
from tardif.training.settings import TrainingSettings


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What a trainer was made for, checked, and what it has prepared.

    Attributes:
        base, recipe: what the model is made of.
        data: the training set, with examples.
        language: of BM25.
        path: where the checkpoint is published.
        seed: of the projection's texts.
        overwrite: replace what stands there.
        trust_remote_code: let the base bring its own code.
        console: where to show progress.
        crossed: the values that cross-validation has found, by system: they are the verdict on this training.
        told: say at the end what came out.
    """

    base: Base
    recipe: Recipe
    data: TrainingSet
    language: Language
    path: Path
    seed: int
    overwrite: bool
    trust_remote_code: bool
    console: Console
    crossed: Mapping[str, Values] = dataclasses.field(default_factory=dict)
    told: bool = True

    def save(self, folder: Path, settings: TrainingSettings, **more: Any) -> None:
        """Write all but the console into a folder, with the settings and ``more`` plain values.

        Raises:
            SettingError: a setting cannot be written.
        """
        self.data.save(folder / "data", overwrite=True)
        base = {name: str(value) if isinstance(value, Path) else value for name, value in _fields(self.base).items()}
        written = {
            "base": base,
            "recipe": _fields(self.recipe),
            "language": self.language.code,
            "path": str(self.path),
            **{name: getattr(self, name) for name in ("seed", "overwrite", "trust_remote_code", "crossed", "told")},
            "settings": settings.as_json(),
            **more,
        }
        try:
            write_json(folder / "config.json", written)
        except TypeError as error:
            raise SettingError(f"Settings for several processes must be plain values ({error}).") from error


def load_config(folder: Path, console: Console) -> tuple[RunConfig, TrainingSettings, dict[str, Any]]:
    """Read what :meth:`RunConfig.save` wrote: the config, the settings, and everything as it is in the file."""
    read: dict[str, Any] = read_json(folder / "config.json", what="a training config")
    base: dict[str, Any] = dict(read["base"])
    base |= {name: Path(base[name]) for name in ("folder", "transformer")}
    config = RunConfig(
        base=Base(**base),
        recipe=Recipe(**read["recipe"]),
        data=TrainingSet.load(folder / "data"),
        language=find_language(read["language"]),
        path=Path(read["path"]),
        seed=read["seed"],
        overwrite=read["overwrite"],
        trust_remote_code=read["trust_remote_code"],
        console=console,
        crossed=read["crossed"],
        told=read["told"],
    )
    return config, TrainingSettings(**read["settings"]), read


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
