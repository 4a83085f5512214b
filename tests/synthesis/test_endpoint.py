import base64
import json
import logging
import signal
import subprocess
import sys
import threading

import pytest

from chat_server import KEY, answer, good
from tardif.data.training_set import TrainingSet
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare
from tardif.synthesis.endpoint import EndpointWriter, read_queries
from tardif.synthesis.secret import Secret
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
    endpoint.always = (400, f"bad key {KEY}".encode(), {"X-Key": KEY})
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
    assert "raise it to continue" in result.report[-1]
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


SEVENTH = Document("d6", "Harbour number 6 was built by sailors from island 6.", "Harbour 6")
FORMS = [
    KEY,
    KEY[:9],
    KEY[-9:],
    KEY.upper(),
    "".join(f"%{byte:02x}" for byte in KEY.encode()),
    base64.b64encode(f"Bearer {KEY}".encode()).decode(),
]


def files_of(folder):
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def spelled_out(text):
    """A JSON string in escapes alone: the answer does not hold the text, only its list does."""
    return '"' + "".join(f"\\u{ord(c):04x}" for c in text) + '"'


@pytest.mark.parametrize("written", [json.dumps, spelled_out], ids=["plain", "escaped"])
def test_an_echoed_key_reaches_no_set_cache_or_report(endpoint, tmp_path, caplog, written):
    caplog.set_level(logging.DEBUG)
    queries = [written(f"who wrote {form} here") for form in FORMS[1:]]
    endpoint.replies = [answer(f'["where is the salt traded", {query}]') for query in queries]
    endpoint.replies.append(answer(f"You are {KEY}, and that is no list."))
    asked = {"url": endpoint.url, "model": "m", "cache": tmp_path / "answers", "max_requests": 50, "workers": 1}
    documents = [{"id": d.id, "title": d.title, "text": d.text} for d in [*DOCUMENTS, SEVENTH]]
    data = prepare([], documents, endpoint=asked, miner="none")
    data.save(tmp_path / "set")
    assert len(data.queries) == 2
    assert any("6 with the key in it" in line for line in data.report)
    kept = files_of(tmp_path).decode("utf-8", "replace") + caplog.text + "\n".join(data.report)
    secret = Secret("OPENAI_API_KEY")
    assert not secret.is_in(kept.replace(endpoint.url, ""))
    assert not any(secret.is_in(text) for text in data.queries.values())
    again = EndpointWriter(**asked).write(DOCUMENTS)
    assert (again.asked, len(again.pairs)) == (6, 12)  # what was not kept is asked again


@pytest.mark.parametrize("filler", ["x", " "])
@pytest.mark.parametrize("before", [0, 190, 199, 490, 499, 19_990, 19_999])
def test_no_part_of_an_echoed_key_is_in_an_error(endpoint, writer, filler, before):
    for form in FORMS:
        body = filler * before + form + " is no key"
        endpoint.always = (400, body.encode(), {"X-Key": KEY, "WWW-Authenticate": KEY})
        with pytest.raises(SettingError, match="refuses the request") as error:
            writer(workers=1).write(DOCUMENTS)
        shown = str(error.value)
        assert not Secret("OPENAI_API_KEY").is_in(shown)
        assert KEY[:8] not in shown.lower()
        assert len(shown) < 500


def test_a_wait_that_leads_to_nothing_is_not_kept(endpoint, writer):
    endpoint.always = (429, b"", {"Retry-After": "60"})
    hasty = writer(max_requests=2, workers=1)
    hasty._client.stop = waits = Waits()
    assert hasty.write(DOCUMENTS[:1]).capped == 1
    assert waits.seconds == [60.0]


def test_an_error_shows_no_control_characters(endpoint, writer):
    endpoint.always = (400, b"\x1b[2J no\x00such\x9bmodel\n\n" + "\u202e".encode(), {})
    with pytest.raises(SettingError) as error:
        writer().write(DOCUMENTS)
    assert str(error.value).endswith("It says: [2J no such\ufffdmodel")


@pytest.mark.parametrize("written", ['"{}"'.format, spelled_out], ids=["plain", "escaped"])
def test_an_answer_that_cannot_be_stored_is_in_no_cache(endpoint, tmp_path, written):
    endpoint.replies = [answer(f"[{written(f'who built{odd} it')}]") for odd in ("\ud800", "\x00", "\x1b[2J", "\x9b")]
    asked = {"url": endpoint.url, "model": "m", "cache": tmp_path / "answers", "max_requests": 50, "workers": 1}
    documents = [{"id": d.id, "title": d.title, "text": d.text} for d in DOCUMENTS]
    data = prepare([], documents, endpoint=asked, miner="none")
    data.save(tmp_path / "set")
    assert TrainingSet.load(tmp_path / "set").queries == data.queries
    assert len(data.queries) == 4
    assert any("4 with characters that cannot be stored" in line for line in data.report)
    assert (tmp_path / "answers").read_text().count('"answer"') == 2
    again = EndpointWriter(**asked).write(DOCUMENTS)
    assert (again.asked, len(again.pairs)) == (4, 12)


@pytest.mark.parametrize(
    "poison", ['["who built\ud800 it"]', '["who built\\u0000 it"]', f'["who wrote {KEY} here"]', 7]
)
def test_a_poisoned_cache_is_noticed_and_asked_again(endpoint, writer, tmp_path, poison):
    first = writer().write(DOCUMENTS)
    cache = tmp_path / "answers.jsonl"
    rows = [json.loads(line) for line in cache.read_text().splitlines()]
    (place,) = (n for n, row in enumerate(rows) if "port 0" in row.get("answer", ""))
    rows[place]["answer"] = poison
    cache.write_text("".join(json.dumps(row) + "\n" for row in rows) + "half a li\n")
    second = writer().write(DOCUMENTS)
    assert (second.asked, second.pairs, second.damaged) == (1, first.pairs, 2)
    assert "2 lines of the cache cannot be used" in second.report[-1]
    assert second.spent.requests == 8  # the torn line may have been a request too
    third = writer().write(DOCUMENTS)
    assert (third.asked, third.pairs) == (0, first.pairs)


SHAPES = [
    b"null",
    b"[]",
    b"7",
    b"{}",
    b'{"choices": null}',
    b'{"choices": {}}',
    b'{"choices": "abc"}',
    b'{"choices": []}',
    b'{"choices": [[]]}',
    b'{"choices": [null]}',
    b'{"choices": [{"message": "a"}]}',
    b'{"choices": [{"message": {"content": ["a"]}}]}',
    b'{"choices": [{"message": {"content": null}}]}',
    b'{"choices": [{"message": {"content": NaN}}]}',
]


def test_an_answer_of_another_shape_costs_and_is_not_kept(endpoint, writer):
    for number, shape in enumerate(SHAPES, start=1):
        endpoint.always = (200, shape, {})
        result = writer().write(DOCUMENTS[:1])
        assert result.counts["endpoint"].dropped == {"malformed answer": 1}
        assert (result.asked, result.spent.requests, result.spent.estimated) == (1, number, number)
        assert "1 malformed answer" in result.report[-1]
    endpoint.always = good
    assert len(writer().write(DOCUMENTS[:1]).pairs) == 2


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "[" * 1_000_000,
        f'["{"a" * 100_000} {"b" * 100_000}"]',
        "[" + "1" * 5000 + "]",
        "[NaN, Infinity]",
    ],
    ids=["deep", "balanced", "deeper", "long", "number", "constants"],
)
def test_no_list_inside_an_answer_is_too_much(endpoint, writer, content):
    endpoint.always = answer(content)
    result = writer().write(DOCUMENTS[:1])
    assert not result.pairs
    assert sum(result.counts["endpoint"].dropped.values()) == 1


def test_no_more_queries_are_kept_than_asked_for(endpoint, writer):
    endpoint.always = answer(json.dumps([f"who built port number {n}" for n in range(20_000)]))
    result = writer(count=3).write(DOCUMENTS[:1])
    assert [pair.query for pair in result.pairs] == [f"who built port number {n}" for n in range(3)]
    count = result.counts["endpoint"]
    assert (count.made, count.kept, count.dropped) == (20_000, 3, {"more than asked for": 19_997})


def test_a_count_that_cannot_be_is_estimated_and_said(endpoint, writer):
    endpoint.replies = [answer('["who built it then"]', usage) for usage in [(0, 0), (-5, -5), (10**30, 5), (10, "5")]]
    result = writer(workers=1).write(DOCUMENTS)
    assert (result.spent.requests, result.spent.estimated) == (6, 4)
    assert 6 * 10 < result.spent.read < 6 * 400
    assert "the tokens of 4 are estimated" in result.report[-1]


@pytest.mark.parametrize("status", [408, 429, 500, 503, 599])
def test_threads_that_are_all_refused_stay_within_the_cap(endpoint, writer, status):
    endpoint.always = (status, b"no", {"Retry-After": "0"})
    result = writer(max_requests=5, workers=8, tries=100).write(DOCUMENTS)
    assert len(endpoint.requests) == result.asked == result.spent.requests == 5
    assert result.capped == 6
    assert f"without a usable answer: 5 answered {status}" in result.report[-1]
    assert writer(max_requests=5).write(DOCUMENTS).asked == 0


def test_threads_at_once_do_not_pass_a_cap_on_tokens(endpoint, writer):
    length = len(DOCUMENTS[0].content.encode())
    endpoint.always = answer('["who built it then"]', (length + 50, 20))  # all that was reserved
    options = {"prompt": "{passage}", "answer_tokens": 20, "max_requests": None, "max_tokens": 3 * (length + 70) + 1}
    result = writer(workers=8, **options).write(DOCUMENTS)
    assert (len(endpoint.requests), result.spent.read + result.spent.written) == (3, 3 * (length + 70))


class Waits(threading.Event):
    """An event that does not wait: it writes down for how long it would have."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        return False


@pytest.mark.parametrize(
    ("asked", "waited"),
    [("1000000000", 60.0), ("9" * 299, 60.0), ("61.5", 60.0), ("7", 7.0), ("0", 0.0)]
    + [(text, None) for text in ("nan", "inf", "-5", "1e9", "9" * 400, "", "soon", "Wed, 21 Oct 2099 07:28:00 GMT")],
)
def test_no_wait_is_longer_than_a_minute(endpoint, writer, asked, waited):
    endpoint.replies = [(429, b"", {"Retry-After": asked})]
    patient = writer(backoff=0.001)
    patient._client.stop = waits = Waits()
    line = patient.write(DOCUMENTS[:1]).report[-1]
    (seconds,) = waits.seconds
    assert seconds == waited if waited is not None else seconds < 0.002
    assert ("waited 60 s where it asked for up to" in line) == (waited == 60.0)


def test_growing_waits_end_at_a_minute(endpoint, writer):
    endpoint.replies = [(500, b"", {})] * 150
    patient = writer(max_requests=200, tries=200, backoff=1.0)
    patient._client.stop = waits = Waits()
    assert len(patient.write(DOCUMENTS[:1]).pairs) == 2
    assert waits.seconds[-1] == max(waits.seconds) == 60.0


SCRIPT = """
import sys, threading
from tardif.synthesis.endpoint import EndpointWriter
from tardif.types import Document
writer = EndpointWriter(sys.argv[1], "small", cache=sys.argv[2], max_requests=100, workers=2)
def say():
    writer._client.stop.wait()
    print("stopping", flush=True)
threading.Thread(target=say, daemon=True).start()
texts = [(f"Harbour number {n} was built by sailors from island {n}.", f"Harbour {n}") for n in range(6)]
writer.write(Document(f"d{n}", *text) for n, text in enumerate(texts))
"""


@pytest.fixture
def held(endpoint, tmp_path):
    """A run in a process of its own, while both its requests wait for an answer, and what lets them have it."""
    arrived, release = threading.Semaphore(0), threading.Event()

    def hold(body):
        arrived.release()
        release.wait(60)
        return good(body)

    endpoint.always = hold
    command = [sys.executable, "-c", SCRIPT, endpoint.url, str(tmp_path / "answers.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert arrived.acquire(timeout=60) and arrived.acquire(timeout=60)
            yield process, release
        finally:
            release.set()
            process.kill()


def test_a_killed_run_has_counted_what_it_sent(endpoint, writer, held):
    process, release = held
    process.kill()
    process.wait(60)
    release.set()
    result = writer(max_requests=2).write(DOCUMENTS)
    assert (result.asked, result.spent.requests, result.spent.estimated, result.capped) == (0, 2, 2, 6)
    assert len(writer(max_requests=8).write(DOCUMENTS).pairs) == 12
    assert len(endpoint.requests) == 8


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signal to a process")
def test_an_interrupted_run_keeps_what_was_under_way(endpoint, writer, held):
    process, release = held
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopping\n"
    release.set()
    assert process.wait(60) != 0
    assert "KeyboardInterrupt" in process.stderr.read()
    result = writer(max_requests=6).write(DOCUMENTS)
    assert (result.asked, result.spent.requests, len(result.pairs), len(endpoint.requests)) == (4, 6, 12, 6)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": 1e300},
        {"tries": 0},
        {"tries": 2.5},
        {"backoff": -1},
        {"workers": "4"},
        {"passage_words": 0},
        {"count": True},
        {"temperature": float("inf")},
        {"max_requests": float("nan")},
        {"max_tokens": float("inf")},
        {"prompt": 7},
        {"model": 7},
        {"api_key_env": KEY},
        {"api_key_env": "A_VARIABLE_THAT_IS_NOT_SET"},
    ],
)
def test_settings_out_of_range_name_themselves(tmp_path, options):
    settings = {"url": "https://host/v1", "model": "m", "cache": tmp_path / "c", "max_requests": 1, **options}
    with pytest.raises(SettingError, match=f"{next(iter(options))}|The prompt") as error:
        EndpointWriter(**settings)
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    "options", [{"url": f"https://host/{KEY}/v1"}, {"model": KEY}, {"prompt": f"{KEY} {{passage}}"}]
)
def test_a_setting_with_the_key_in_it_is_refused(endpoint, tmp_path, options):
    settings = {"url": "https://host/v1", "model": "m", "cache": tmp_path / "c", "max_requests": 1, **options}
    with pytest.raises(SettingError, match="holds the key") as error:
        EndpointWriter(**settings)
    assert KEY not in str(error.value)
