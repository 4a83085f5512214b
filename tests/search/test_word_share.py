"""BM25's share of a hybrid search comes from the model's training, if that learnt one."""

from __future__ import annotations

import json
import shutil

import pytest

from tardif import Retriever
from tardif.errors import SettingError
from tardif.ranking import WORD_SHARE
from tardif.search.indexed_model import IndexedModel
from tardif.types import Document

DOCUMENTS = [
    Document("moon", "The moon pulls the sea."),
    Document("bread", "Bread needs an hour in the oven."),
    Document("bees", "Bees dance to tell where the flowers are."),
    Document("sea", "The sea is salt, and the bread of fishermen."),
]


def built(model, tmp_path, results):
    """An index of a copy of the model beside which training left these results."""
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / "results.json").write_text(results)
    return Retriever.build(folder, DOCUMENTS, tmp_path / "index", hybrid=True, quiet=True)


def test_what_training_learnt_is_the_default_of_the_index(multi_vector_folder, tmp_path):
    with built(multi_vector_folder, tmp_path, json.dumps({"settings": {"word_share": 0.4}})) as retriever:
        assert retriever.word_share == 0.4
        learnt = retriever.search("bread of the sea", hybrid=True)
        assert learnt == retriever.search("bread of the sea", hybrid=True, word_share=0.4)
        assert learnt != retriever.search("bread of the sea", hybrid=True, word_share=WORD_SHARE)
        for ask in (retriever.search, lambda query, **how: retriever.run({"q": query}, **how)):
            with pytest.raises(SettingError, match="it is of a hybrid search"):
                ask("bread of the sea", word_share=0.4)
    shutil.rmtree(tmp_path / "model")  # the index remembers
    with Retriever(tmp_path / "index") as again:
        assert again.word_share == 0.4
        assert again.run({"q": "bread of the sea"}, hybrid=True)["q"] == {h.document_id: h.score for h in learnt}


@pytest.mark.parametrize(
    "results",
    ["{", "[]", "null", "{}", '{"settings": null}', '{"settings": {"word_share": null}}']
    + [f'{{"settings": {{"word_share": {value}}}}}' for value in ("2", "-0.1", "NaN", '"0.4"', "true", "[0.4]")],
)
def test_anything_else_is_no_share(tmp_path, results):
    (tmp_path / "results.json").write_text(results)
    (tmp_path / "config.json").write_text("{}")
    assert "word_share" not in IndexedModel.remember(tmp_path, tmp_path / "index")


@pytest.mark.parametrize("value", [2, "0.4", None])
def test_a_manifest_that_somebody_changed_gives_the_default(tmp_path, value):
    assert IndexedModel(tmp_path, {"word_share": value}, None, lambda *given: None).word_share == WORD_SHARE
