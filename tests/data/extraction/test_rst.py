import pytest

from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents

pytest.importorskip("docutils", exc_type=ImportError)

PAGE = """
.. a comment

=====
Title
=====

Some *words* with a :ref:`link to it <there>`, `a site <http://host>`_ and |short|.

.. |short| replace:: a longer form

Chapter
-------

.. note:: Take care of
   this.

.. versionadded:: 3.2
   A new :class:`Thing`.

Section
~~~~~~~

- one
- two

=== ===
a   b
=== ===
1   2
=== ===

::

   code

.. image:: http://host/x.png
   :alt: a picture
"""
TEXT = """Some words with a link to it, a site and a longer form.

# Chapter

Take care of this.

3.2
A new Thing.

## Section

one

two

a | b
1 | 2

    code

a picture"""


def read(tmp_path, text):
    report = DocumentReport()
    (tmp_path / "a.rst").write_text(text, encoding="utf-8")
    (document,) = read_documents(tmp_path / "a.rst", report=report)
    return document, [note.reason for note in report.notes]


def test_a_page_gives_its_title_and_text_with_headings(tmp_path):
    document, notes = read(tmp_path, PAGE)
    assert (document.title, document.text, notes) == ("Title", TEXT, [])


def test_no_markup_of_sphinx_stays(tmp_path):
    page = """Name ¶
------

.. versionchanged:: 2.1
   Speeds are **numbers** in ``km/h``, see :prop_tgt:`<LANG>_SPEED` and :ref:`how to <speeds>`:

   .. tip:: |why| `a site <http://x>`_.

.. code-block:: python
   :linenos:

   # no heading
   x = a[b](c)

.. toctree::
   :maxdepth: 2

   other/page

.. only:: html

   As *HTML* alone.

.. |why| replace:: for speed
"""
    document, notes = read(tmp_path, page)
    assert document.title == "Name"
    assert document.text == (
        "2.1\nSpeeds are numbers in km/h, see <LANG>_SPEED and how to:\n\nfor speed a site.\n\n"
        "    # no heading\n    x = a[b](c)\n\nAs HTML alone."
    )
    assert notes == []


def test_nothing_is_included_or_passed_through(tmp_path, capfd):
    (tmp_path / "secret.txt").write_text("secret")
    page = (
        "Before.\n\n.. include:: secret.txt\n\n.. raw:: html\n   :file: secret.txt\n\n"
        ".. csv-table::\n   :file: secret.txt\n\n.. raw:: html\n\n   <b>hidden</b>\n\nAfter.\n"
    )
    document, notes = read(tmp_path, page)
    assert document.text == "Before.\n\nAfter."
    assert notes == [f"without what its {name} directives would take in" for name in ("include", "raw", "csv-table")]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "page",
    [
        "word\n\n" + "*a " * 30_000,
        "word\n\n" + ("`a " * 3000 + "\n") * 10,
        "word\n\n" + "".join(" " * n + "- a\n\n" for n in range(500)),
        "word\n\n" + "a b " * 200_000,
    ],
)
def test_what_would_take_long_or_too_much_is_read_as_plain_text(tmp_path, page):
    document, (note,) = read(tmp_path, page)
    assert document.text == page.strip()
    assert note.endswith("read as plain text")


def test_substitutions_do_not_grow(tmp_path):
    chain = "".join(f".. |a{n}| replace:: |a{n + 1}| |a{n + 1}|\n" for n in range(40))
    document, _ = read(tmp_path, f"{chain}.. |a40| replace:: word\n\n|a0| and more\n")
    assert len(document.text) < 100
    document, notes = read(tmp_path, ".. |a| replace:: " + "word\n   " * 2000 + "\n\n" + "|a| |a| |a|\n\n" * 500)
    assert len(document.text) < 1_000_000
    assert notes == ["substitutions of more than 500 characters were cut"]


def test_a_page_without_text_is_refused(tmp_path):
    (tmp_path / "a.rst").write_text(".. only a comment\n")
    (tmp_path / "b.rst").write_text("text")
    report = DocumentReport()
    assert len(read_documents(tmp_path, report=report)) == 1
    assert report.skipped == {"without text": 1}
