import pytest
from hypothesis import given
from hypothesis import strategies as st

from tardif.errors import DataError
from tardif.ranking import Ids


def test_ids_are_found_by_position_and_back():
    ids = Ids(["b", "a", "c"])
    assert len(ids) == 3
    assert ids.rows(["c", "b", "c"]) == [2, 0, 2]
    assert ids.named(range(3)) == list(ids) == ["b", "a", "c"]


def test_an_unknown_id_is_refused_by_name():
    with pytest.raises(DataError, match="'x' is not in the corpus"):
        Ids(["a"]).rows(["a", "x"])


def test_ids_are_unique():
    with pytest.raises(DataError, match="same id"):
        Ids(["a", "a"])


class Alike(str):
    """An id with the hash of all others of its kind."""

    def __hash__(self):
        return 7


@given(st.lists(st.text(max_size=3), unique=True), st.text(max_size=3), st.booleans())
def test_ids_are_those_of_a_dict(listed, other, alike):
    kind = Alike if alike else str
    ids = Ids(map(kind, listed))
    assert ids.rows([kind(identity) for identity in listed]) == list(range(len(listed)))
    assert ids.named(range(len(listed))) == list(ids) == listed
    assert list(ids.ascending) == ids.ascending[:] == sorted(listed)
    assert [ids.ascending[place] for place in ids.places] == listed
    assert ids.row(kind(other)) == (listed.index(other) if other in listed else None)
    if listed:
        with pytest.raises(DataError, match="same id"):
            Ids(map(kind, [*listed, listed[len(listed) // 2]]))
