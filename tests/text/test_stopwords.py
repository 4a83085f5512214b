import pytest
import Stemmer

from tardif.text import languages
from tardif.text.languages import language
from tardif.text.stopwords import stopwords

ALL = sorted(set(languages._BY_CODE.values()), key=lambda found: found.code)
OLDER = {"porter", "dutch_porter"}  # earlier algorithms for English and Dutch


def test_every_stemmer_has_its_language():
    assert {found.stemmer for found in ALL if found.stemmer} == set(Stemmer.algorithms()) - OLDER


@pytest.mark.parametrize("found", [found for found in ALL if found.stemmer], ids=lambda found: found.code)
def test_every_language_with_a_stemmer_has_stopwords(found):
    assert len(stopwords(found)) >= 25


@pytest.mark.parametrize(
    ("code", "word"),
    [("en", "the"), ("pl", "jest"), ("fi", "olla"), ("ja", "です"), ("th", "และ"), ("sr", "који"), ("ne", "छ")]
    + [("ta", "ஒரு"), ("yi", "און"), ("hi", "और"), ("cs", "být")],
)
def test_function_words_are_known(code, word):
    assert word in stopwords(language(code))


def test_a_language_without_a_list_has_none():
    assert stopwords(language("km")) == frozenset()
