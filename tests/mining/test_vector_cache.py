import json

import numpy as np
import pytest

from tardif.errors import FolderError
from tardif.mining.vector_cache import Remembered, encode_all, fingerprint

TEXTS = [f"text {n}" * (n % 3 + 1) for n in range(11)]


class Encoder:
    """As many rows as a text has words minus one; dies when told to. Rows tell the block they came with."""

    def __init__(self, die_at=None):
        self.calls = []
        self.die_at = die_at

    def __call__(self, texts):
        if len(self.calls) == self.die_at:
            raise KeyboardInterrupt
        self.calls.append(list(texts))
        lengths = [len(text.split()) - 1 for text in texts]
        rows = [[len(text), len(texts), row] for text, n in zip(texts, lengths, strict=True) for row in range(n)]
        return np.array(rows, dtype=np.float32).reshape(-1, 3), lengths


def encoded(encoder, folder=None, texts=TEXTS, identity="model", block=4):
    return encode_all(texts, encoder, block=block, dtype="float16", folder=folder, identity=identity)


def stored(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_disk_and_memory_hold_the_same(tmp_path):
    memory, disk = encoded(Encoder()), encoded(Encoder(), tmp_path)
    assert np.array_equal(memory.rows, disk.rows)
    assert memory.rows.dtype == disk.rows.dtype == np.float16
    assert memory.lengths.tolist() == disk.lengths.tolist() == [len(text.split()) - 1 for text in TEXTS]


def test_what_is_encoded_is_not_encoded_again(tmp_path):
    first = encoded(Encoder(), tmp_path)
    again = Encoder()
    assert np.array_equal(encoded(again, tmp_path).rows, first.rows)
    assert again.calls == []


@pytest.mark.parametrize("die_at", [0, 1, 2])
@pytest.mark.parametrize("torn", [(0, 0), (5, 0), (40, 5), (40, 8)])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, die_at, torn):
    encoded(Encoder(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        encoded(Encoder(die_at), tmp_path / "killed")
    [folder] = (tmp_path / "killed").iterdir()
    if die_at:  # what a kill within the next block leaves: some vectors, perhaps some lengths
        with (folder / "vectors.bin").open("ab") as file:
            file.write(b"x" * torn[0])
        with (folder / "lengths.bin").open("ab") as file:
            file.write(b"\1\0\0\0\1\0\0\0"[: torn[1]])
    second = Encoder()
    encoded(second, tmp_path / "killed")
    assert len(second.calls) == 3 - die_at
    assert stored(tmp_path / "killed") == stored(tmp_path / "whole")


def test_other_texts_or_another_model_are_other_vectors(tmp_path):
    encoded(Encoder(), tmp_path)
    for changed in ({"texts": [*TEXTS[:-1], "other text"]}, {"identity": "another"}, {"texts": TEXTS[::-1]}):
        encoder = Encoder()
        encoded(encoder, tmp_path, **changed)
        assert encoder.calls


def test_no_texts_no_vectors(tmp_path):
    for folder in (None, tmp_path):
        assert len(encoded(Encoder(), folder, texts=[]).lengths) == 0


def test_a_damaged_cache_is_refused(tmp_path):
    encoded(Encoder(), tmp_path)
    [folder] = tmp_path.iterdir()
    (folder / "vectors.bin").write_bytes(b"")
    with pytest.raises(FolderError, match="damaged"):
        encoded(Encoder(), tmp_path)


@pytest.mark.parametrize("name", ["vectors.bin", "lengths.bin", "blocks.jsonl"])
@pytest.mark.parametrize("die_at", [2, None])
def test_no_byte_of_a_cache_is_another_unnoticed(tmp_path, name, die_at):
    if die_at is None:
        encoded(Encoder(), tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            encoded(Encoder(die_at), tmp_path)
    [folder] = tmp_path.iterdir()
    content = (folder / name).read_bytes()
    for place in range(0, len(content) - 1, 3):  # without the last end of line: that block would be made again
        (folder / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(FolderError, match="damaged"):
            encoded(Encoder(), tmp_path)


def test_blocks_of_another_size_go_on_from_an_end_that_both_have(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        encoded(Encoder(2), tmp_path)
    [folder] = tmp_path.iterdir()
    done = [json.loads(line)[0] for line in (folder / "blocks.jsonl").read_text().splitlines()]
    again = Encoder()
    encoded(again, tmp_path, block=sum(done))
    assert sum(json.loads(line)[0] for line in (folder / "blocks.jsonl").read_text().splitlines()) == len(TEXTS)
    assert len(again.calls) == 1


def test_a_cache_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be written"):
        encoded(Encoder(), tmp_path / "file")


def test_queries_are_remembered_up_to_a_limit():
    encoder = Encoder()
    remembered = Remembered(encoder, limit=2)
    assert [len(rows) for rows in remembered(["a b", "a b c", "a b"])] == [1, 2, 1]
    remembered(["a b c"])
    assert encoder.calls == [["a b", "a b c"]]
    remembered(["x y", "y z"])
    remembered(["a b"])
    assert encoder.calls == [["a b", "a b c"], ["x y", "y z"], ["a b"]]


def test_a_fingerprint_is_of_the_weights_and_settings(encoder, dense_folder):
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(dense_folder), device="cpu")
    before = fingerprint(model, "a")
    model.encode(["some text", "a longer text than that"], show_progress_bar=False)
    assert fingerprint(model, "a") == before
    assert fingerprint(model, "b") != before
    assert fingerprint(encoder, "a") != before
    model.max_seq_length = 7
    assert fingerprint(model, "a") != before
    other = SentenceTransformer(str(dense_folder), device="cpu")
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1
    assert fingerprint(other, "a") != before
