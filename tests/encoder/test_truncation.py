import pytest

from tardif.encoder.base import resolve_base
from tardif.encoder.model import open_model
from tardif.encoder.tokens import tokens_for
from tardif.encoder.truncation import as_read, document_reach, overlong, truncation_warning
from tardif.types import Document

LONG = " ".join(f"Sentence number {n} says something about the {n}th thing." for n in range(60))


@pytest.mark.parametrize("kind", ["multi_vector", "stanford", "pylate"])
def test_a_checkpoints_files_say_how_much_of_a_document_it_reads(kind, request):
    folder = request.getfixturevalue(f"{kind}_folder")
    model = open_model(str(folder))
    (ids,) = tokens_for(model, 4096).ids([LONG], "document")
    assert as_read(resolve_base(folder)).max_tokens == document_reach(model) == len(ids) < 128


def test_a_base_that_is_no_colbert_yet_reads_what_its_positions_allow(base_folder):
    base = resolve_base(base_folder("bert"))
    assert as_read(base) is base


def test_a_document_is_overlong_from_one_token_more_than_is_read(encoder):
    reach = document_reach(encoder)
    documents = [Document(str(end), LONG[:end], "title" if end % 4 else "") for end in range(20, 240, 2)]
    found = {document.id for document in overlong(encoder, documents)}
    prompt = encoder.prompts["document"]
    true = [len(encoder.tokenizer(prompt + document.content, verbose=False)["input_ids"]) for document in documents]
    assert found == {document.id for document, tokens in zip(documents, true, strict=True) if tokens > reach}
    assert 0 < len(found) < len(documents)


def test_a_very_long_text_is_counted_by_parts(encoder):
    ((_, once),) = overlong(encoder, [Document("a", "word " * 100)])
    ((identity, tokens),) = overlong(encoder, [Document("a", "word " * 100_000)])
    assert identity == "a" and tokens == pytest.approx(once * 1000, rel=0.05)


def test_what_a_person_is_told(encoder):
    found = overlong(encoder, [Document("short", "a word"), Document("long", LONG)])
    line = truncation_warning(found, 48, 2, "Cut it.")
    assert line.startswith("1 of 2 documents is longer than the model reads (48 tokens): ")
    assert line.endswith(f"(the longest, long, has {found[0].tokens} tokens). Cut it.")
    assert truncation_warning([], 48, 2, "Cut it.") == ""
