"""The card of an exported checkpoint: made of what is known, true to its format, and with the user's own words."""

from __future__ import annotations

import json
import shutil

import pytest
from huggingface_hub import ModelCard, metadata_load

from tardif.errors import ModelError
from tardif.integrations.checkpoints import export_checkpoint
from tardif.training.model_card import CARD, USE


@pytest.fixture
def folder(multi_vector_folder, tmp_path):
    return shutil.copytree(multi_vector_folder, tmp_path / "model")


def exported(folder, out, form="sentence-transformers", **how):
    path = export_checkpoint(folder, out, form, **how).folder / CARD
    assert metadata_load(path)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("form", "library", "opens"),
    [
        ("sentence-transformers", "sentence-transformers", 'MultiVectorEncoder("model")'),
        ("stanford", "sentence-transformers", 'Checkpoint("model", ColBERTConfig())'),
        ("pylate", "PyLate", 'models.ColBERT("model")'),
    ],
)
def test_every_export_has_a_card_of_its_format(folder, tmp_path, form, library, opens):
    text = exported(folder, tmp_path / "out", form)
    card = ModelCard(text)
    assert card.data.library_name == library
    assert library in card.data.tags
    assert opens in text
    assert "not measured" in text
    assert str(tmp_path) not in text


def test_what_the_user_wrote_stays(folder, tmp_path):
    words = "---\nlicense: mit\nlanguage: de\n---\n# Mine\n\nIn my words.\n\n## More\n\nThe end.\n"
    (folder / CARD).write_text(words)
    first = exported(folder, tmp_path / "first", "pylate")
    card = ModelCard(first)
    assert (card.data.license, card.data.language, card.data.library_name) == ("mit", "de", "PyLate")
    assert "In my words." in first and first.count(USE) == 1
    # The section has one place, and is made new there.
    moved = first.replace("## More", "## Still more")
    (folder / CARD).write_text(moved.replace(f"{USE}\n", f"{USE}\n\nOld words.\n\n```python\n# no heading\n```\n"))
    second = exported(folder, tmp_path / "second", name="me/model")
    assert second.count(USE) == 1
    assert "Old words." not in second and "no heading" not in second
    assert 'MultiVectorEncoder("me/model")' in second
    assert "Still more\n\nThe end." in second


def test_a_checkpoint_from_before_cards_gets_one_of_its_results(folder, tmp_path):
    settings = {"tardif": "0.0.9", "base": "/home/me/base", "language": "de", "data": {"documents": 3, "sources": []}}
    result = {"before": {"nDCG@10": None}, "after": {"nDCG@10": None}, "reason": "no query is held out"}
    (folder / "results.json").write_text(json.dumps({**result, "settings": settings, "seconds": {}}))
    text = exported(folder, tmp_path / "out")
    assert ModelCard(text).data.language == "de"
    assert "not measured (no query is held out)" in text
    assert "/home" not in text


def test_the_same_checkpoint_has_the_same_card(folder, tmp_path):
    one, other = (exported(folder, tmp_path / name, name="me/model") for name in ("one", "other"))
    assert one == other


@pytest.mark.parametrize("said", ["---\n- a list\n---\n", "---\na: [\n---\n", "---\nmodel-index: 3\n---\n", b"\xff"])
def test_a_card_that_cannot_be_read_is_named_and_nothing_is_left(folder, tmp_path, said):
    (folder / CARD).write_bytes(said if isinstance(said, bytes) else said.encode())
    with pytest.raises(ModelError, match=r"README\.md can"):
        exported(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
