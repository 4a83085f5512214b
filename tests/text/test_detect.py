from tardif.text.detect import MIN_CHARACTERS, foreign_texts

ENGLISH = "The committee will meet on Thursday morning to discuss the budget for the coming year, {}."
GERMAN = "Der Ausschuss trifft sich am Donnerstagmorgen, um über den Haushalt des kommenden Jahres zu beraten, {}."
FRENCH = "Le comité se réunira jeudi matin pour discuter du budget de l'année prochaine et des dépenses, {}."


def test_texts_in_another_language_are_found():
    texts = [("e1", ENGLISH), ("g", GERMAN), ("f", FRENCH), ("e2", ENGLISH * 3)]
    assert foreign_texts(texts, "en") == (4, [("f", "fr"), ("g", "de")])
    assert foreign_texts(texts, "de")[1] == [("e1", "en"), ("e2", "en"), ("f", "fr")]


def test_short_texts_and_none_are_not_looked_at():
    assert foreign_texts([("g", GERMAN[: MIN_CHARACTERS - 1])], "en") == (0, [])
    assert foreign_texts([], "en") == (0, [])


def test_a_language_that_cannot_be_told_is_not_looked_for():
    assert foreign_texts([("g", GERMAN)], "xx") == (0, [])


def test_the_sample_does_not_depend_on_the_order():
    texts = [(f"d{n}", (GERMAN if n % 3 else ENGLISH).format(n)) for n in range(30)]
    looked_at, found = foreign_texts(texts, "en", sample=10)
    assert looked_at == 10
    assert 0 < len(found) <= 10
    assert foreign_texts(texts[::-1], "en", sample=10) == (looked_at, found)
