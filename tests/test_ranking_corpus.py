import pytest

from tardif.errors import DataError
from tardif.ranking import Ids


def test_ids_are_found_by_position_and_back():
    ids = Ids(["b", "a", "c"])
    assert len(ids) == 3
    assert ids.rows(["c", "b", "c"]) == [2, 0, 2]
    assert ids.array.tolist() == ["b", "a", "c"]


def test_an_unknown_id_is_refused_by_name():
    with pytest.raises(DataError, match="'x' is not in the corpus"):
        Ids(["a"]).rows(["a", "x"])


def test_ids_are_unique():
    with pytest.raises(DataError, match="same id"):
        Ids(["a", "a"])
