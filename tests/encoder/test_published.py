"""The checksums beside a published model: damage to its files is told whoever opens it, and nothing else changes."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tardif.checksums import checksum
from tardif.encoder.base import resolve_base
from tardif.encoder.cross_encoder import resolve_cross_encoder
from tardif.encoder.identity import fingerprint
from tardif.encoder.published import CHECKSUMS, check_published, write_checksums
from tardif.errors import ModelError


@pytest.fixture
def folder(multi_vector_folder, tmp_path):
    return sealed(shutil.copytree(multi_vector_folder, tmp_path / "model"))


def sealed(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    write_checksums(folder, {path.relative_to(folder).as_posix(): checksum(path) for path in files})
    return folder


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def names(folder):
    return json.loads((folder / CHECKSUMS).read_text())["files"]


def test_no_file_of_a_model_is_damaged_unnoticed(folder):
    assert {"model.safetensors", "config.json", "tokenizer.json", "1_Dense/model.safetensors"} <= names(folder).keys()
    resolve_base(folder)
    for name in names(folder):
        kept = (folder / name).read_bytes()
        flip(folder / name)
        for open_it in (resolve_base, resolve_cross_encoder):
            with pytest.raises(ModelError) as caught:
                open_it(folder)
            assert str(caught.value).startswith(f"{folder / name} is damaged: its checksum is not the recorded one")
            assert f"train it again, or remove {folder / CHECKSUMS} if the change is meant" in str(caught.value)
        (folder / name).unlink()
        with pytest.raises(ModelError, match="is missing"):
            resolve_base(folder)
        (folder / name).write_bytes(kept)
    resolve_base(folder)


def test_a_change_that_is_meant_is_opened_without_the_checksums(folder, multi_vector_folder):
    flip(folder / "model.safetensors")
    with pytest.raises(ModelError):
        resolve_base(folder)
    (folder / CHECKSUMS).unlink()
    assert resolve_base(folder).dim == resolve_base(multi_vector_folder).dim


def test_what_is_no_part_of_the_model_may_change(folder, multi_vector_folder):
    (folder / "results.json").write_text("{}")
    (folder / "README.md").write_text("Mine.")
    resolve_base(folder)
    # An index was built with the same model, whether its checksums are there or not.
    assert fingerprint(folder) == fingerprint(multi_vector_folder)


def test_the_same_files_have_the_same_bytes(folder):
    sums = names(folder)
    before = (folder / CHECKSUMS).read_bytes()
    write_checksums(folder, dict(reversed(sums.items())))
    assert (folder / CHECKSUMS).read_bytes() == before


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("", "cannot be read"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        ('{"format": "tardif-checksums", "version": "1", "files": {"a": "b"}}', "damaged"),
        ('{"format": "tardif-checksums", "version": 2, "files": {}}', "newer"),
        ('{"format": "tardif-checksums", "version": 1, "files": {}}', "damaged"),
        ('{"format": "tardif-checksums", "version": 1, "files": {"config.json": 5}}', "damaged"),
        ('{"format": "tardif-checksums", "version": 1, "files": {"../model/config.json": "a"}}', "damaged"),
        ('{"format": "tardif-checksums", "version": 1, "files": {"/etc/hosts": "a"}}', "damaged"),
        ('{"format": "tardif-checksums", "version": 1, "files": {"a\\u0000": "a"}}', "damaged"),
        ('{"format": "tardif-checksums", "version": 1, "files": {"1_Dense": "a"}}', "is not a regular file"),
        ('{"format": "tardif-checksums", "version": 1, "files": {"config.json/x": "a"}}', "is missing"),
    ],
)
def test_damaged_checksums_are_told(folder, said, problem):
    (folder / CHECKSUMS).write_text(said)
    with pytest.raises(ModelError, match=problem) as caught:
        check_published(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(ModelError, match="is not a regular file"):
        resolve_base(folder)
