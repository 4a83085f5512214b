import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.text.normal import keyed_order, normalise, text_id


def test_texts_that_differ_in_form_only_are_the_same():
    assert normalise("  The\tﬁrst\nSTRASSE ") == normalise("the first straße") == "the first strasse"


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=10))
def test_case_of_ascii_and_white_space_never_matter(text):
    assert normalise(f" {text}\n") == normalise(text)
    assert "  " not in normalise(text)


def test_ids_and_orders_come_from_the_text_alone():
    assert text_id("d-", "a") != text_id("d-", "b")
    assert text_id("d-", "\ud800")
    assert keyed_order(0, "a") != keyed_order(1, "a")
    code = "from tardif.text.normal import *; print(text_id('d-', 'a'), keyed_order(3, 'a').hex())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [text_id("d-", "a"), keyed_order(3, "a").hex()]
