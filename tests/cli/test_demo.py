from pathlib import Path

import pytest

from tardif.cli.demo import docstring_corpus

SOURCE = '''
def {name}_alpha(first, second):
    """Join the {name} tables on their common key.

    Rows without a partner in the other table are dropped, unless the option keeps them; the order of the
    first table is kept.
    """


class {name}Store(dict):
    """Keep every {name} value under a sorted key.

    Values are written to disk when the store is closed, and read back lazily when one of them is asked for.
    """

    def find(self, key):
        """Find the {name} value nearest to a key.

        Ties go to the smaller {name} key. A store that is empty raises an error which says so, with its own name.
        """


def _hidden():
    """Never shown to any reader of {name}.

    The leading underscore says that this one is private, so no query may be made of it at all.
    """


def short():
    """Too short {name} body here.

    Nothing.
    """
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("apple", "berry", "cherry", "damson", "elder"):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text(SOURCE.format(name=name), encoding="utf-8")
    (tmp_path / "broken.py").write_text("def (", encoding="utf-8")
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    return tmp_path


def test_summary_is_the_query_and_is_not_in_the_document(root: Path) -> None:
    corpus = docstring_corpus([root])
    by_id = {document.id: document for document in corpus.documents}
    assert len(by_id) == 15
    document = by_id["apple.appleStore.find"]
    assert document.text.startswith("find(key) Ties go to the smaller apple key.")
    queries = dict((*corpus.train, *corpus.held_out))
    assert queries["Find the apple value nearest to a key."] == document.content
    assert all(query not in text for query, text in queries.items())


def test_modules_do_not_leak(root: Path) -> None:
    corpus = docstring_corpus([root])
    module_of = {document.content: document.metadata["module"] for document in corpus.documents}
    held = {module_of[text] for _, text in corpus.held_out}
    assert held == set(corpus.held_out_modules)
    assert held
    assert held.isdisjoint({module_of[text] for _, text in corpus.train})


def test_same_seed_same_corpus(root: Path) -> None:
    assert docstring_corpus([root], seed=1) == docstring_corpus([root], seed=1)


def test_repeated_summaries_are_left_out(root: Path) -> None:
    (root / "fig").mkdir()
    (root / "fig" / "__init__.py").write_text(SOURCE.format(name="apple"), encoding="utf-8")
    corpus = docstring_corpus([root])
    assert not any("apple" in query for query, _ in (*corpus.train, *corpus.held_out))
