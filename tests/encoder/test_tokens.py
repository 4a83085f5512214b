from __future__ import annotations

import pytest
import torch

from tardif.encoder.tokens import Tokens
from words import TEXTS, Tokeniser, rows_of, texts_of

ALL = list(TEXTS.values())
LENGTHS = sorted(len(text.split(" ")) for text in ALL)


def tokens(**options):
    return Tokens(Tokeniser(), {}, **{"budget": 20, **options})


@pytest.mark.parametrize("padding", [None, 0])
def test_each_text_is_there_once_and_its_place_is_told(padding):
    blocks, places = tokens(padding_id=padding).blocks([*ALL, *ALL[::-1]], "document")
    found = texts_of(blocks)
    assert sorted(found) == sorted(ALL)
    assert [found[place] for place in places] == [*ALL, *ALL[::-1]]
    assert [len(ids) for block in blocks for ids in rows_of(block)] == LENGTHS


@pytest.mark.parametrize("budget", [1, 9, 16, 20, 30, 10_000])
@pytest.mark.parametrize("padding", [None, 0])
def test_a_sub_batch_keeps_within_its_budget_or_holds_one_text(padding, budget):
    blocks, _ = tokens(padding_id=padding, budget=budget).blocks(ALL, "document")
    for block in blocks:
        assert block["input_ids"].numel() <= budget or len(rows_of(block)) == 1
    assert len(blocks) == {1: len(ALL), 10_000: 1}.get(budget, len(blocks))


def test_a_packed_sub_batch_has_no_padding():
    blocks, _ = tokens().blocks(ALL, "document")
    assert sum(block["input_ids"].numel() for block in blocks) == sum(LENGTHS)
    for block in blocks:
        assert block["input_ids"].shape == block["position_ids"].shape == (1, sum(block["packed_lengths"]))
        assert block["position_ids"][0].tolist() == [n for length in block["packed_lengths"] for n in range(length)]


def test_positions_begin_where_the_family_begins_them():
    (block, *_), _ = tokens(first_position=2).blocks(ALL, "document")
    assert block["position_ids"].min() == 2


def test_a_text_is_tokenised_once_and_by_task():
    made = tokens()
    first = made.blocks(ALL, "document")
    again = made.blocks(ALL[::-1], "document")
    assert [task for task, _, _ in made.preprocess.calls] == ["document"]
    assert torch.equal(first[0][0]["input_ids"], again[0][0]["input_ids"])
    made.blocks(ALL[:1], "query")
    assert [task for task, _, _ in made.preprocess.calls] == ["document", "query"]


def test_what_does_not_fit_into_the_cache_is_tokenised_anew():
    made = tokens(cached=10)
    for _ in range(2):
        assert sorted(texts_of(made.blocks(ALL, "document")[0])) == sorted(ALL)
    assert 0 < len(made.preprocess.calls[1][2]) < len(ALL)


def test_texts_are_cut_to_the_lengths_asked_for_and_keep_their_end():
    whole = tokens(padding_id=0).ids(ALL, "document")
    most = [len(ids) - 1 for ids in whole]
    blocks, places = tokens(padding_id=0).blocks(ALL, "document", most)
    found = [row for block in blocks for row in rows_of(block)]
    for ids, place, length in zip(whole, places, most, strict=True):
        assert list(found[place]) == [*ids[: length - 1], ids[-1]]


@pytest.mark.parametrize(("budget", "blocks"), [(1, 3), (32, 3), (64, 2), (1000, 1)])
def test_queries_are_cut_by_the_tokens_they_are_expanded_to(budget, blocks):
    made = tokens(budget=budget, expansion=32)
    assert len(made.blocks(["one", "two", "three"], "query")[0]) == blocks
    assert len(made.blocks(["one", "two", "three"], "document")[0]) == (3 if budget == 1 else 1)
