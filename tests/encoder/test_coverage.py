"""A base that reads a language badly is told of before any work, with the figures and the kind of base to take."""

from __future__ import annotations

import pytest

from tardif import Trainer
from tardif.encoder import MINILM
from tardif.encoder.base import offline_base, resolve_base
from tardif.encoder.coverage import coverage, language_warning, texts_warning
from tardif.encoder.samples import SENTENCES
from tardif.text.languages import language

JAPANESE = ["猫は夜に鼠を追いかける。", "犬は知らない人に吠える。", "鳥は朝に歌う。"]


def test_every_sample_is_of_a_language_that_is_known():
    assert all(language(code).code == code for code in SENTENCES)


def words(text):
    return [1] * len(text.split())


def test_unknown_tokens_and_single_letters_are_poor():
    known = coverage(["two words"] * 9, words, {0}, 1)
    assert (known.unknown, known.letters, known.is_poor) == (0.0, 4.0, False)
    assert coverage(["two words"], lambda text: [0, 1], {0}, 1).is_poor
    assert coverage(["two words"], lambda text: [1] * len(text), {0}, 1).is_poor
    assert not coverage(JAPANESE, lambda text: [1] * len(text), {0}, 1).is_poor  # a character says as much as a word
    assert coverage(JAPANESE, lambda text: [1] * len(text.encode()), {0}, 1).is_poor
    assert coverage(["short"], words, {0}) is None


@pytest.mark.skipif(offline_base() is None, reason="the offline base is not installed")
@pytest.mark.parametrize(("code", "poor"), [("en", False), ("de", False), ("vi", False), ("ja", True), ("ru", True)])
def test_the_default_base_is_for_languages_in_the_latin_script(code, poor):
    said = language_warning(resolve_base(MINILM), language(code))
    assert bool(said) is poor
    if code == "ja":
        assert "17% of the tokens are unknown" in said
        assert "intfloat/multilingual-e5-small" in said
        assert "made for Japanese" in said


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_a_trainer_warns_of_the_language_and_of_the_texts(base_folder, tmp_path, capsys, family):
    pairs = [(f"{text[:3]} {n}", f"{text} {n}") for n in range(20) for text in JAPANESE]
    trainer = Trainer("m", base_folder(family), "th", "cpu", out=tmp_path, quiet=True)
    assert "reads Thai sentences badly" in capsys.readouterr().err
    trainer.prepare(pairs, miner="none", near=False)
    assert "WARNING: The base" in capsys.readouterr().err


def test_a_trainer_says_nothing_of_a_language_that_the_base_reads(base_folder, tmp_path, capsys):
    Trainer("m", base_folder("bert"), "en", "cpu", out=tmp_path, quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert"])
def test_texts_that_a_model_reads_badly_are_told_of(base_folder, family):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_folder(family))
    said = texts_warning("The model", tokenizer, ["ქართული ენა და დამწერლობა"] * 200, "these documents")
    assert "The model reads these documents badly" in said
    assert texts_warning("The model", tokenizer, ["The cat sat on the mat, and the dog slept."] * 200, "x") == ""
