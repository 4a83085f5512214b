import json
import logging

import pytest

from chat_server import KEY, answer, good
from tardif.data.endpoint import EndpointWriter, read_queries
from tardif.errors import DataError, SettingError
from tardif.types import Document

DOCUMENTS = [
    Document(f"d{n}", f"Harbour number {n} was built by sailors from island {n}.", f"Harbour {n}") for n in range(6)
]


@pytest.fixture
def writer(endpoint, tmp_path):
    def make(**options):
        settings = {"cache": tmp_path / "answers.jsonl", "max_requests": 100, "backoff": 0.01, **options}
        return EndpointWriter(endpoint.url, "small", **settings)

    return make


def test_queries_come_back_with_their_documents(endpoint, writer):
    result = writer().write(DOCUMENTS)
    assert [(p.query, p.document_id) for p in result.pairs[:2]] == [
        ("who built port 0", "d0"),
        ("port 0 history", "d0"),
    ]
    assert [p.parent_id for p in result.pairs] == [f"d{n}" for n in range(6) for _ in range(2)]
    assert (result.asked, result.spent.read, result.spent.written) == (6, 60, 30)
    path, headers, body = endpoint.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "small"
    assert "6 requests in this run" in result.report[-1]


def test_the_key_is_written_nowhere(endpoint, writer, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    result = writer().write(DOCUMENTS)
    endpoint.always = (400, f"bad key {KEY}".encode(), {})
    with pytest.raises(SettingError) as error:
        writer(temperature=0.1).write(DOCUMENTS)
    said = capfd.readouterr()
    written = (tmp_path / "answers.jsonl").read_text()
    for text in (str(error.value), caplog.text, said.out, said.err, written, repr(result), *result.report):
        assert KEY not in text


def test_a_malformed_answer_is_counted_and_costs(endpoint, writer):
    endpoint.replies = [
        answer("I cannot help with that."),
        answer('["unfinished'),
        (200, b"<html>", {}),
        (200, b"{}", {}),
    ]
    result = writer(workers=1).write(DOCUMENTS)
    count = result.counts["endpoint"]
    assert count.dropped["malformed answer"] == 4
    assert count.kept == len(result.pairs) == 4
    assert count.made == count.kept + sum(count.dropped.values())
    assert result.spent.requests == 6


def test_poor_queries_are_dropped_and_counted(endpoint, writer):
    queries = ["harbour", "was built by sailors", "who built it", "Who  built it"]
    endpoint.replies = [answer(json.dumps(queries))]
    result = writer().write(DOCUMENTS[:1])
    assert [pair.query for pair in result.pairs] == ["who built it"]
    dropped = result.counts["endpoint"].dropped
    assert dropped == {"too short or long": 1, "copied from the passage": 1, "equal to another query": 1}


def test_a_busy_endpoint_is_asked_again(endpoint, writer):
    endpoint.replies = [(429, b"", {"Retry-After": "0"}), (503, b"", {})]
    result = writer().write(DOCUMENTS[:1])
    assert len(result.pairs) == 2
    assert len(endpoint.requests) == result.asked == result.spent.requests == 3
    assert "1 answered 429, 1 answered 503" in result.report[-1]


def test_an_endpoint_that_keeps_failing_gives_one_clear_error(endpoint, writer):
    endpoint.replies = [good]
    endpoint.always = (500, b"", {})
    with pytest.raises(DataError, match=r"chat/completions: answered 500, 3 times in a row"):
        writer(tries=3, workers=1).write(DOCUMENTS)
    endpoint.always = good
    result = writer().write(DOCUMENTS)  # the first answer was kept
    assert (result.asked, result.spent.requests, len(endpoint.requests)) == (5, 9, 9)


def test_no_connection_is_one_clear_error(tmp_path):
    writer = EndpointWriter("http://127.0.0.1:9", "m", cache=tmp_path / "c", max_requests=1, tries=2, backoff=0.01)
    with pytest.raises(DataError, match="cannot be reached"):
        writer.write(DOCUMENTS)


def test_a_wrong_key_is_a_setting(endpoint, writer, monkeypatch):
    endpoint.always = (401, b"", {})
    with pytest.raises(SettingError, match="OPENAI_API_KEY"):
        writer().write(DOCUMENTS)
    assert len(endpoint.requests) <= 4


def test_the_key_does_not_follow_a_redirect(endpoint, writer):
    endpoint.always = (302, b"", {"Location": "http://127.0.0.1:9/steal"})
    with pytest.raises(SettingError, match="redirects"):
        writer().write(DOCUMENTS[:1])


@pytest.mark.parametrize(
    ("cap", "asked"),
    [
        ({"max_requests": 3}, 3),
        ({"max_requests": None, "max_tokens": 350}, 3),
        ({"max_requests": None, "max_cost": 0.007, "price_in": 20.0, "price_out": 20.0}, 3),
        ({"max_requests": 0}, 0),
    ],
)
def test_a_cap_stops_in_time_and_keeps_what_is_done(endpoint, writer, cap, asked):
    endpoint.always = lambda body: answer(good(body)[1] and '["what is there"]', (100, 10))
    options = {"answer_tokens": 10, "prompt": "{passage}", "workers": 2, **cap}
    result = writer(**options).write(DOCUMENTS)
    assert (result.asked, len(endpoint.requests), result.capped) == (asked, asked, 6 - asked)
    assert "raise it to go on" in result.report[-1]
    again = writer(**options).write(DOCUMENTS)  # the cap counts earlier runs
    assert (again.asked, len(endpoint.requests), again.pairs) == (0, asked, result.pairs)


def test_a_second_run_asks_nothing(endpoint, writer):
    first = writer().write(DOCUMENTS)
    asked = len(endpoint.requests)
    second = writer().write(DOCUMENTS)
    assert len(endpoint.requests) == asked
    assert (second.pairs, second.spent, second.asked) == (first.pairs, first.spent, 0)


def test_a_line_torn_by_an_interruption_is_asked_again(endpoint, writer, tmp_path):
    first = writer().write(DOCUMENTS)
    cache = tmp_path / "answers.jsonl"
    cache.write_bytes(cache.read_bytes()[:-20])
    second = writer().write(DOCUMENTS)
    assert (second.asked, second.pairs) == (1, first.pairs)
    assert writer().write(DOCUMENTS).asked == 0


def test_a_file_that_is_no_cache_is_refused(writer, tmp_path):
    (tmp_path / "answers.jsonl").write_text("hello\n")
    with pytest.raises(DataError, match="line 1"):
        writer().write(DOCUMENTS)


def test_tokens_are_estimated_where_the_endpoint_does_not_count(endpoint, writer):
    endpoint.always = answer('["where is it built"]', None)
    assert writer().write(DOCUMENTS[:1]).spent.read > 50


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ('["a b", " c  d "]', ["a b", "c d"]),
        ('Sure:\n```json\n["a b"]\n```', ["a b"]),
        ('{"queries": ["a b"]}', ["a b"]),
        ("[1, 2]", []),
        ("a b\nc d", []),
        ("", []),
    ],
)
def test_answers_are_lists(text, queries):
    assert read_queries(text) == queries


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://host/v1", {}),
        ("host/v1", {}),
        ("https://user:pass@host/v1", {}),
        ("https://host/v1", {"prompt": "no place"}),
        ("https://host/v1", {"max_requests": None}),
        ("https://host/v1", {"max_cost": 1.0}),
        ("https://host/v1", {"workers": 0}),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, url, options):
    with pytest.raises(SettingError):
        EndpointWriter(url, "m", cache=tmp_path / "c", **{"max_requests": 1, **options})


def test_a_key_that_cannot_be_sent_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk\nsecret")
    with pytest.raises(SettingError) as error:
        EndpointWriter("https://host/v1", "m", cache=tmp_path / "c", max_requests=1)
    assert "secret" not in str(error.value)
