from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import tiny
from tardif.data.training_set import TrainingSet
from tardif.encoder.packing import LENGTHS
from tardif.encoder.tokens import tokens_for
from tardif.training.batches import Collator
from tardif.training.settings import TrainingSettings
from tardif.types import Document, Example

EXPANSION = 32
families = pytest.mark.parametrize("family", tiny.FAMILIES)
words = st.sampled_from(
    ["late", "Retrieval", "été", "晚期", "東京", "word", "3.5", "(two)", "!", ".", "  ", "\n", " a", "—"]
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30),
    st.lists(words, min_size=1, max_size=80).map(" ".join),
    st.lists(words, min_size=1, max_size=8).map("".join),
)


def alone(model, text):
    return model.tokenizer(text, verbose=False)["input_ids"]


def expected(model, text, task):
    """[start, marker, tokens of the text alone, end], cut at the cap; a query is filled with mask tokens."""
    transformer = model[0]
    cap = transformer.query_length if task == "query" else transformer.document_length
    (marker,) = model.tokenizer(model.prompts[task], add_special_tokens=False)["input_ids"]
    start, *tokens, end = alone(model, text)
    ids = [start, marker, *tokens[: cap - 3], end]
    return ids + [model.tokenizer.mask_token_id] * (EXPANSION - len(ids)) if task == "query" else ids


def unpadded(features):
    """The rows' token ids, without padding."""
    if LENGTHS in features:
        return [row.tolist() for row in features["input_ids"][0].split(features[LENGTHS])]
    counted = features["attention_mask"].bool()
    if "query_expansion_positions" in features:
        counted = counted | features["query_expansion_positions"]
    return [row[mask].tolist() for row, mask in zip(features["input_ids"], counted, strict=True)]


@families
@given(pair=st.tuples(texts, texts))
@example(pair=("  leading spaces", ".dot first"))
@example(pair=("晚期交互", "two\nlines "))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_training_and_encoding_see_the_text_as_it_is_alone_behind_a_marker(fresh, family, pair):
    model = fresh(family)
    special = [token.strip() for token in model.tokenizer.all_special_tokens]
    pair = [text for text in pair if not any(token in text for token in special)]
    assume(pair)
    data = TrainingSet(
        documents={str(n): Document(str(n), text) for n, text in enumerate(pair)},
        queries={str(n): text for n, text in enumerate(pair)},
        qrels={str(n): {str(n): 1} for n in range(len(pair))},
        split={},
        examples=[Example(str(n), str(n)) for n in range(len(pair))],
    )
    batch = Collator(data, tokens_for(model, 100), TrainingSettings())([{"example": n} for n in range(len(pair))])
    for task, blocks, rows in (
        ("query", batch["queries"], batch["query_rows"]),
        ("document", batch["documents"], batch["columns"]),
    ):
        # A document is read as its content, without white space around it.
        read = pair if task == "query" else [data.documents[str(n)].content for n in range(len(pair))]
        want = [expected(model, text, task) for text in read]
        trained = [ids for block in blocks for ids in unpadded(block)]
        assert [trained[row] for row in rows] == want
        assert unpadded(model.preprocess(list(read), prompt=model.prompts[task], task=task)) == want


@families
@given(text=texts, most=st.integers(4, 40))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_document_cut_for_training_is_one_that_the_model_reads_so_much_of(fresh, family, text, most):
    model = fresh(family)
    cut = tokens_for(model, 100, document_length=most).ids([text], "document")[0].tolist()
    whole, model[0].document_length = model[0].document_length, most
    try:
        read = unpadded(model.preprocess([text], prompt=model.prompts["document"], task="document"))[0]
    finally:
        model[0].document_length = whole
    assert cut == read


@families
def test_a_marker_is_one_new_token(fresh, base_folder, family):
    from transformers import AutoTokenizer

    model, before = fresh(family), len(AutoTokenizer.from_pretrained(base_folder(family)))
    markers = [model.tokenizer(model.prompts[task], add_special_tokens=False)["input_ids"] for task in model.prompts]
    assert sorted(markers) == [[before], [before + 1]]


@families
@pytest.mark.parametrize("text", ["a . b", "a. b", ".a b", "a.b", "a , b!", "(a) b?", 'a "b"'])
def test_punctuation_has_no_document_vector(fresh, family, text):
    model = fresh(family)
    features = model.preprocess([text], prompt=model.prompts["document"], task="document")
    ids = features["input_ids"][0]
    kept = model(features, task="document")["attention_mask"][0].bool()
    pieces = [model.tokenizer.convert_tokens_to_string([piece]) for piece in model.tokenizer.convert_ids_to_tokens(ids)]
    scored = {piece.strip() for piece, keep in zip(pieces, kept, strict=True) if keep}
    dropped = {piece.strip() for piece, keep in zip(pieces, kept, strict=True) if not keep}
    assert dropped == set(text) - set("ab ")
    assert {"a", "b"} <= scored


@families
def test_punctuation_of_a_query_is_scored(fresh, family):
    model = fresh(family)
    assert len(model.encode_query("a . b")) == EXPANSION
