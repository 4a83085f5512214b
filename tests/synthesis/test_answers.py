import json

import pytest

from tardif.errors import DataError, FolderError
from tardif.synthesis.answers import AnswerCache
from tardif.synthesis.spending import Cap, Cost, Spending

CAP = Cap(requests=10)


@pytest.fixture
def opened(tmp_path):
    return lambda cap=CAP, name="c": AnswerCache(tmp_path / name, cap, lambda text: "bad" if "bad" in text else "")


def line(**row):
    return json.dumps(row).encode() + b"\n"


def test_what_is_sent_counts_until_it_is_settled(opened):
    with opened() as cache:
        first, second = cache.reserve((100, 50)), cache.reserve((100, 50))
        cache.sending(first, "a")
        cache.sending(second, "b")
        cache.settle(first, "a", Cost(30, 5, False), "an answer")
    with opened() as cache:  # the second was killed
        assert cache.spent == Spending(2, 130, 55, 1)
        assert cache.answers == {"a": "an answer"}


def test_what_is_not_sent_is_taken_back(opened):
    with opened(Cap(requests=1)) as cache:
        number = cache.reserve((1, 1))
        assert cache.reserve((1, 1)) is None
        cache.release(number)
        assert cache.reserve((1, 1))
    with opened() as cache:
        assert cache.spent == Spending()


def test_an_endpoint_that_writes_more_than_asked_is_expected_to(opened):
    with opened(Cap(tokens=1000)) as cache:
        number = cache.reserve((10, 10))
        cache.sending(number, "a")
        cache.settle(number, "a", Cost(10, 500, False), "long")
        assert cache.reserve((10, 10)) is None


def test_an_answer_with_a_flaw_is_counted_and_not_kept(opened, tmp_path):
    with opened() as cache:
        number = cache.reserve((10, 10))
        cache.sending(number, "a")
        cache.settle(number, "a", Cost(3, 4, False), "a bad one")
        assert (cache.answers, cache.refused, cache.troubles) == ({}, {"a": "bad"}, {"bad": 1})
    assert b"bad" not in (tmp_path / "c").read_bytes()
    with opened() as cache:
        assert (cache.answers, cache.spent) == ({}, Spending(1, 3, 4))


OLD = line(key="a", answer="yes", read=5, written=6)


@pytest.mark.parametrize(
    "damaged",
    [
        line(key="b", answer="bad", read=5, written=6),
        line(key="b", answer=7, read=5, written=6),
        line(key=["b"], answer="yes", read=5, written=6),
        line(key="b", answer="yes", read=-5, written=6),
        line(key="b", answer="yes", read=10**30, written=6),
        line(key="b", answer="yes", read=float("nan"), written=6),
        line(key="b", answer="yes", read="5", written=6),
        line(key="b", answer="yes", read=True, written=6),
        line(key="b", answer="yes"),
        b'{"key": "b", "ans\n',
        b"\xff\xfe\n",
        b"\n",
        b"[" * 100_000 + b"\n",
        b"1" * 5000 + b"\n",
        b"null\n",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_damaged_line_is_noticed_counted_and_passed_over(opened, tmp_path, damaged, first):
    (tmp_path / "c").write_bytes(damaged + OLD if first else OLD + damaged)
    with opened() as cache:
        assert (cache.answers, cache.damaged) == ({"a": "yes"}, 1)
        assert cache.spent.requests == 2
        assert 5 <= cache.spent.read < 50_000 and cache.spent.written >= 6


def test_lines_of_earlier_releases_are_read(opened, tmp_path):
    (tmp_path / "c").write_bytes(OLD + line(key="b", answer="no", read=1, written=2))
    with opened() as cache:
        assert (cache.answers, cache.spent) == ({"a": "yes", "b": "no"}, Spending(2, 6, 8))


@pytest.mark.parametrize(
    "content", [b'{"title": "precious"}', b"precious", b"precious\n", b'[{"key": 1}]\n', b"{}\n{}"]
)
def test_a_file_that_is_no_cache_stays_as_it_is(opened, tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(DataError, match="no answer cache"), opened():
        pass
    assert (tmp_path / "c").read_bytes() == content


@pytest.mark.parametrize("torn", [OLD[:1], OLD[:9], OLD[:-1], OLD + OLD[:7]])
def test_a_line_torn_by_an_interruption_goes(opened, tmp_path, torn):
    (tmp_path / "c").write_bytes(torn)
    with opened() as cache:
        assert cache.damaged == 0
    assert (tmp_path / "c").read_bytes() == (OLD if len(torn) > len(OLD) else b"")


def test_one_run_at_a_time_uses_a_cache(opened):
    with opened(), pytest.raises(FolderError, match="cache .* is being used by process"), opened():
        pass
    with opened():
        pass


def test_a_cache_that_is_no_file_is_refused(opened, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="not a file"), opened(name="folder"):
        pass
    with pytest.raises(DataError, match="cannot be used"), opened(name="file/c"):
        pass


def test_nothing_is_sent_that_cannot_be_written_down(opened, tmp_path):
    with opened() as cache:
        number = cache.reserve((1, 1))
        cache._file.close()
        cache._file = (tmp_path / "c").open("rb")  # as a full disk: every write fails
        with cache._file, pytest.raises(DataError, match="cannot be written"):
            cache.sending(number, "a")
        assert cache.asked == 0
