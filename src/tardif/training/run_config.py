"""The configuration of a run: what the trainer checked and prepared, and its form on disk for other processes."""

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

_PLAIN = ("seed", "overwrite", "trust_remote_code", "crossed", "crossed_in", "prints_summary", "command")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything a run needs besides its settings: base, recipe, data, language, output.

    Attributes:
        base, recipe: what the model is made of.
        data: the training set, with examples.
        language: of BM25.
        path: where the checkpoint is published.
        seed: of the draw of texts that the projection is fitted on.
        overwrite: replace what is at ``path``.
        trust_remote_code: let the base bring its own code.
        console: where to show progress.
        crossed: the values that cross-validation has found, by system: they are the verdict on this training.
        crossed_in: the folder with the evidence of the folds.
        prints_summary: print the figures and warnings at the end, and draw the report.
        command: the command line, or the Python calls, that this run was started with.
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
    crossed_in: str = ""
    prints_summary: bool = True
    command: str = ""

    def save(self, folder: Path, settings: TrainingSettings, **more: Any) -> None:
        """Write all but the console into a folder, with the settings and ``more`` plain values.

        Raises:
            SettingError: a setting cannot be written.
        """
        self.data.save(folder / "data", overwrite=True)
        base = dataclasses.asdict(self.base)
        written = {
            "base": {name: str(value) if isinstance(value, Path) else value for name, value in base.items()},
            "recipe": dataclasses.asdict(self.recipe),
            "language": self.language.code,
            "path": str(self.path),
            **{name: getattr(self, name) for name in _PLAIN},
            "settings": settings.as_json(),
            **more,
        }
        try:
            write_json(folder / "config.json", written)
        except TypeError as error:
            raise SettingError(f"Settings for several processes must be plain values ({error}).") from error


def load_config(folder: Path, console: Console) -> tuple[RunConfig, TrainingSettings, dict[str, Any]]:
    """Read what :meth:`RunConfig.save` wrote: the config, the settings, and everything in the file."""
    read: dict[str, Any] = read_json(folder / "config.json", what="the configuration of a run")
    base: dict[str, Any] = dict(read["base"])
    base |= {name: Path(base[name]) for name in ("folder", "transformer")}
    config = RunConfig(
        base=Base(**base),
        recipe=Recipe(**read["recipe"]),
        data=TrainingSet.load(folder / "data"),
        language=find_language(read["language"]),
        path=Path(read["path"]),
        console=console,
        **{name: read[name] for name in _PLAIN},
    )
    return config, TrainingSettings(**read["settings"]), read
