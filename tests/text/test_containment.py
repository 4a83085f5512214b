"""Which documents hold a text: word for word, nearly, and never by chance."""

import random

import pytest

from tardif.text.containment import MOST, contained
from tardif.text.normal import word_places, words_in_order

WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in ("rn", "st", "lt", "nd", "pp")]
ANSWER = "The harbour was dredged in 1911, after the two floods, and has since been open to larger ships all year."


def prose(seed, count):
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(count))


def holders(text, documents, **options):
    held = contained([("t", text)], sorted(documents.items()), **options)
    return [found.document for found in held.found.get("t", [])]


def around(text):
    return {"a": prose(1, 60), "b": f"{prose(2, 30)} {text} {prose(3, 30)}", "c": prose(4, 60)}


def test_a_text_is_found_whatever_its_quotes_case_punctuation_and_spacing():
    said = "“The  harbour was\ndredged in 1911 – after the TWO floods; and has since been open to *larger* ships"
    said += " all\u00a0year”"
    [found] = contained([("t", ANSWER)], sorted(around(said).items())).found["t"]
    assert (found.document, found.exact, found.start, found.end) == ("b", True, 30, 50)


@pytest.mark.parametrize(
    "said",
    [
        ANSWER.replace("dredged", "dregded"),
        ANSWER.replace("larger", "bigger"),
        ANSWER.replace("floods,", "floods [3] (see below),"),
        ANSWER.replace("since ", ""),
        ANSWER.replace("the two floods", "the twofloods"),
    ],
)
def test_a_text_is_found_where_a_document_nearly_holds_it(said):
    documents = around(said)
    assert holders(ANSWER, documents) == ["b"]
    assert holders(ANSWER, documents, near=None) == []


@pytest.mark.parametrize(
    "said",
    [
        ANSWER.replace("1911", "1931"),
        " ".join(reversed(ANSWER.split())),
        ANSWER.replace("dredged", "built").replace("floods", "wars").replace("larger", "two"),
    ],
)
def test_another_number_order_or_wording_is_another_text(said):
    assert holders(ANSWER, around(said)) == []


def test_what_differs_in_a_name_alone_is_found_in_no_document_of_a_template():
    def of(name):
        return f"{name} County is a county that lies in the north of the state and has several small towns."

    documents = {name: of(name) for name in ("Adams", "Baker", "Clark")}
    assert holders(of("Dawson"), documents) == []
    assert holders(of("Baker"), documents) == ["Baker"]
    assert holders(of("Bakker"), documents) == ["Baker"]


def test_every_document_that_holds_a_text_is_told_once():
    documents = {**around(ANSWER), "d": ANSWER, "e": f"{ANSWER} {ANSWER}"}
    assert holders(ANSWER, documents) == ["b", "d", "e"]
    assert holders(ANSWER, documents, every=True) == ["b", "d", "e", "e"]


def test_a_short_text_is_found_where_one_document_alone_holds_it_and_a_word_never():
    one, two = f"{prose(1, 9)} Marie Curie {prose(2, 9)}", f"{prose(3, 9)} Marie Curie {prose(4, 9)}"
    assert holders("Marie Curie", {"a": one, "b": prose(5, 9)}) == ["a"]
    assert holders("Marie Curie", {"a": one, "copy": one}) == ["a", "copy"]
    held = contained([("t", "Marie Curie"), ("u", "Curie"), ("v", "42 Yes"), ("w", "")], [("a", one), ("b", two)])
    assert (held.found, held.short) == ({}, {"t", "u", "v", "w"})


def test_what_more_different_documents_hold_than_can_be_meant_is_common():
    notice = "This page is for information only and does not replace the advice of a physician."
    many = [(str(number), f"{prose(number, 9)} {notice}") for number in range(MOST + 1)]
    assert contained([("t", notice)], many).common == {"t"}
    assert len(contained([("t", notice)], many[1:]).found["t"]) == MOST
    assert len(contained([("t", notice)], [(i, notice) for i, _ in many]).found["t"]) == MOST + 1


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (
            "港は一九一一年に浚渫され、それ以来大きな船が入れる。",
            "序文。\n港は一九一一年に、浚渫され それ以来大きな船が入れる 終わり",
        ),
        ("ท่าเรือถูกขุดลอกในปี พ.ศ. ๒๔๕๔ หลังน้ำท่วมสองครั้ง", "คำนำ ท่าเรือถูกขุดลอกในปีพ.ศ.๒๔๕๔ หลังน้ำท่วมสองครั้ง จบ"),
        (
            "항구는 1911년에 준설되었고 그 이후로 큰 배들이 드나든다",
            "서문 항구는 1911년에 준설되었고, 그 이후로 큰 배들이 드나든다 끝",
        ),
    ],
)
def test_scripts_without_spaces(text, inside):
    assert holders(text, {"a": inside, "b": inside[::-1]}) == ["a"]


def test_documents_that_are_part_of_a_text_are_asked_for_the_other_way_round():
    parts = {"a": prose(1, 20), "b": prose(2, 20), "c": prose(3, 20)}
    found = contained(parts.items(), [("answer", f"{parts['a']}. {parts['c']}")]).found
    assert {part: [one.document for one in rows] for part, rows in found.items()} == {"a": ["answer"], "c": ["answer"]}


def test_it_agrees_with_plain_search_and_not_with_the_order_of_anything():
    draw = random.Random(0)
    documents = [(f"d{number}", prose(number, draw.randrange(5, 60))) for number in range(300)]
    texts = []
    for number in range(300):
        words = draw.choice(documents)[1].split()
        start = draw.randrange(len(words) - 3)
        texts.append((f"t{number}", " ".join(words[start : start + draw.randrange(2, 30)])))
    held = contained(texts, documents, most=1000)
    for identity, text in texts:
        want = sorted(name for name, inside in documents if f" {text} " in f" {inside} ")
        if identity in held.short:
            assert len(text.replace(" ", "")) < 8 or len(want) > 1
        else:
            assert [found.document for found in held.found[identity]] == want
    assert contained(texts[::-1], documents[::-1], most=1000) == held


def test_documents_that_can_be_read_only_once_are_refused():
    with pytest.raises(TypeError, match="near=None"):
        contained([("t", ANSWER)], iter([("a", ANSWER)]))
    assert contained([("t", ANSWER)], iter([("a", ANSWER)]), near=None).found


@pytest.mark.parametrize(
    "text", ["ﾊﾞｽ停 co\u00adop, 10½ km – “naïve”", "กำหนด か\u3099く ﬁn_al हिन्दी", "it's  plain\n(ASCII)"]
)
def test_every_word_has_its_place(text):
    places = word_places(text)
    assert len(places) == len(words_in_order(text))
    assert all(any(map(str.isalnum, text[start:end])) for start, end in places)
    assert places == sorted(places)
