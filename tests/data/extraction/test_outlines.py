"""Where sections and pages begin, in every kind of text that tells."""

import pytest

from tardif.data.extraction.outlines import Places, lines_outline, markdown_outline
from tardif.types import Outline


def headings(text):
    found = markdown_outline(text).headings
    assert all(text[start : start + 200].strip() for start, _, _ in found)
    return [(level, words) for _, level, words in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One\n\ntext\n\n## Two ##\n", [(1, "One"), (2, "Two")]),
        ("One\n===\n\nTwo\nlines\n---\n", [(1, "One"), (2, "Two lines")]),
        ("# A **bold** `code` [link](url) ![image](x) &amp; \\# sign\n", [(1, "A bold code link image & # sign")]),
        ("```\n# code\n```\n\n    # code\n\n> # quoted\n\n- # in a list\n\n#tag\n", []),
        ("---\ntitle: x\nlist: y\n---\n# One\n", [(1, "One")]),
        ("---\r\ntitle: x\r\n---\r\n# One\r\n", [(1, "One")]),
        ("---\nnever closed\n", []),
        ("#\n\n# \n", []),
        ("", []),
        ("no heading at all", []),
    ],
)
def test_headings_of_markdown(text, expected):
    assert headings(text) == expected


def test_headings_are_where_they_begin():
    text = "---\na: b\n---\nbefore\r\n\r\n# One\r\n\r\nTwo\n---\n"
    assert [text[start : start + 5] for start, _, _ in markdown_outline(text).headings] == ["# One", "Two\n-"]


@pytest.mark.parametrize("part", ["> " * 50_000, "- " * 20_000, "---\r\n" + "a\r\n" * 50_000, "[" * 100_000 + "\n==="])
def test_no_text_stalls_the_parser(part):
    """Each of these would take hours if a step went over the rest of the text again and again."""
    found = markdown_outline(f"{part}\n\n# One\n").headings
    assert found[-1][1:] == (1, "One")
    assert max(len(words) for _, _, words in found) <= 500


def test_a_place_is_cited_by_the_headings_that_lead_to_it():
    places = Places(Outline(((5, 1, "A"), (10, 3, "A deep"), (20, 2, "A two"), (30, 1, "B")), ((0, 1), (15, 4))))
    assert [places.headings(at) for at in (0, 5, 12, 25, 99)] == [
        (),
        ("A",),
        ("A", "A deep"),
        ("A", "A two"),
        ("B",),
    ]
    assert [places.page(at) for at in (0, 14, 15, 99)] == [1, 1, 4, 4]
    assert (Places(None).headings(3), Places(None).page(3)) == ((), None)


def test_headings_that_are_lines_of_a_text_are_found_in_their_order():
    text = "Intro\nOne\ntext says One\nOne\n  Two  words\nend"
    given = [(1, "One"), (2, "not there"), (2, "One"), (2, "Two words"), (1, "Intro"), (1, "")]
    found = lines_outline(text, given).headings
    assert found == ((6, 1, "One"), (24, 2, "One"), (28, 2, "Two words"))
