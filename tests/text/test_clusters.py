import pytest

from tardif.text.clusters import is_boundary, last_boundary, next_boundary


@pytest.mark.parametrize(
    "characters",
    [
        ["a", "b", " ", "c"],
        ["e\u0301", "é", "x\u0308\u0301"],
        ["👩\u200d🚀", "👍🏽", "❤\ufe0f", "👨\u200d👩\u200d👧\u200d👦"],
        ["🇫🇷", "🇩🇪", "a", "🇫🇷", "🇩"],
        ["🏴\U000e0067\U000e0062\U000e007f", "x"],
        ["नि", "क्षि", "त"],
        ["เด็", "ก", "น้", "อ", "ย"],
        ["ភា", "សា", "ខ្មែ", "រ"],
        ["\u1112\u1161\u11ab", "한", "国"],
        ["\r\n", "\n"],
    ],
)
def test_a_text_is_cut_between_what_a_reader_sees_as_characters(characters):
    text = "".join(characters)
    ends, at = [], 0
    for character in characters:
        at += len(character)
        ends.append(at)
    assert [place for place in range(1, len(text) + 1) if is_boundary(text, place)] == ends
    for place in range(len(text) + 1):
        assert last_boundary(text, place) == max([0, *(end for end in ends if end <= place)])
        assert next_boundary(text, place) == (min(end for end in ends if end >= place) if place else 0)


def test_a_letter_with_any_number_of_marks_is_cut_somewhere():
    text = "e" + "\u0301" * 100_000
    assert 50_000 <= last_boundary(text, 50_000 + 64) <= 50_064
    assert next_boundary(text, 10) <= 200
