from __future__ import annotations

import copy

import numpy as np
import pytest

import tiny
from tardif.encoder.blanks import Blanks, blanks_of
from tardif.encoder.model import open_model
from tardif.encoder.token_vectors import encode_documents, encode_queries

BLANK = ["", "  \n\t", "... !!!", "—", "。。。", "…“”", "+ = $", "\u200b", "\x00", "-- ??? ((()))"]
WORDS = ["the cat", "7", "bread!", "...and", "é", "a"]
PLAIN = Blanks(ids=frozenset({0, 1, 2, 9}), prompts={"document": 2}, punctuation=False)


def lengths(model, texts):
    """Of each text as a document and as a query."""
    return [encode(model, texts)[1] for encode in (encode_documents, encode_queries)]


def special(model):
    """Texts that are read as special tokens, or as the one for what the vocabulary lacks, and as nothing else."""
    tokenizer = model.tokenizer
    found = [token for token in (tokenizer.sep_token, tokenizer.mask_token, tokenizer.unk_token) if token]
    return [*found, f" {found[0]} .{found[0]}", *(prompt for prompt in model.prompts.values() if prompt)]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_blank_texts_have_no_vectors_and_others_have_those_of_the_library(fresh, family):
    model = fresh(family)
    texts = [*BLANK, *special(model), *WORDS]
    for found in lengths(model, texts):
        assert found[: -len(WORDS)] == [0] * (len(texts) - len(WORDS))
        assert all(found[-len(WORDS) :])
    vectors, counts = encode_documents(model, texts)
    assert np.split(vectors, np.cumsum(counts)[:-1])[-len(WORDS)] == pytest.approx(
        model.encode_document(WORDS[0], convert_to_numpy=True), abs=1e-5
    )


@pytest.mark.parametrize("checkpoint", ["multi_vector_folder", "stanford_folder", "pylate_folder"])
def test_blank_texts_have_no_vectors_in_any_format(request, checkpoint):
    model = open_model(str(request.getfixturevalue(checkpoint)))
    for found in lengths(model, [*BLANK, *special(model), *WORDS]):
        assert [length > 0 for length in found] == [False] * (len(found) - len(WORDS)) + [True] * len(WORDS)
    for found in lengths(model, BLANK):
        assert not any(found)
    assert encode_documents(model, BLANK)[0].shape == (0, model.get_embedding_dimension())


def test_what_a_cut_leaves_is_what_counts(fresh):
    long = "! " * fresh("bert")[0].document_length + "cat"
    assert encode_documents(fresh("bert"), [long, long[-9:]])[1][0] == 0
    assert encode_documents(fresh("bert"), [long[-9:]])[1][0] > 0


def test_a_model_that_scores_punctuation_finds_texts_of_it(fresh):
    model = copy.deepcopy(fresh("bert"))
    mask = next(module for module in model if hasattr(module, "skiplist_words"))
    mask.skiplist_words = []
    mask.resolve_with_tokenizer(model.tokenizer)
    for found in lengths(model, ["...", "", "[SEP]"]):
        assert [length > 0 for length in found] == [True, False, False]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_the_words_of_a_prompt_are_no_text_and_a_text_of_them_is_one(fresh, family):
    model = copy.deepcopy(fresh(family))
    model.prompts.update(query="question: ", document="the text: ")
    for found in lengths(model, ["", "question", "text", "the text"]):
        assert [length > 0 for length in found] == [False, True, True, True]


@pytest.mark.parametrize(
    ("text", "ids", "blank"),
    [
        ("", [9, 5, 9], True),
        ("word", [9, 5, 3, 9], False),
        ("5", [9, 5, 5, 9], False),  # the prompt's own token, as a text
        ("[SEP]", [9, 5, 1, 9], True),
        ("?!", [9, 5, 3, 9], True),
        ("€", [9, 5, 3, 9], False),
        ("cut", [9], True),
    ],
)
def test_a_text_is_blank_by_its_characters_or_by_its_tokens(text, ids, blank):
    assert PLAIN.holds(text, np.array(ids, dtype=np.int32), "document") is blank


def test_blanks_are_told_without_loading_anything(fresh):
    found = blanks_of(fresh("bert"))
    tokenizer = fresh("bert").tokenizer
    assert {*tokenizer.all_special_ids, tokenizer.convert_tokens_to_ids(".")} <= found.ids
    assert found.prompts == {"query": 2, "document": 2}
    assert found.punctuation is False
