import gzip
import time

import pytest

from chat_server import KEY, RawEndpoint, answer
from tardif.errors import DataError, SettingError
from tardif.synthesis.endpoint import EndpointWriter
from tardif.synthesis.transport import find_address
from tardif.types import Document

DOCUMENTS = [Document("d0", "It was built by sailors from island 0.", "Harbour 0")]
GOOD = answer('["who built port zero"]')[1]
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(url, tmp_path, **options):
    settings = {"max_requests": 3, "tries": 1, "timeout": 30.0, **options}
    return EndpointWriter(url, "m", cache=tmp_path / "answers.jsonl", **settings).write(DOCUMENTS)


ENDLESS = {
    "status": (b"", b"H"),
    "header": (OK + b"X: ", b"a"),
    "headers": (OK, b"X: a\r\n"),
    "body": (OK + b"Content-Length: 999999999999\r\n\r\n", b" "),
    "body without length": (OK + b"\r\n", b" "),
    "chunk's size": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b" " * 1024 + b"\r\n"),
    "trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("start, rest", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_that_drips_is_cut(tmp_path, start, rest):
    def script(send):
        send(start)
        for _ in range(3000):
            send(rest)
            time.sleep(0.01)  # far below the timeout: no single wait runs out

    with RawEndpoint(script) as server:
        # More than a hundred headers may be noticed before the time is up.
        with pytest.raises(DataError, match="timed out|not HTTP"):
            ask(server.url, tmp_path, timeout=0.3)
        assert server.cut.wait(60)


@pytest.mark.parametrize("start, rest", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_end_is_cut(tmp_path, start, rest):
    block = rest * (65536 // len(rest))
    # Interim answers are read and forgotten: only the time is up some day.
    timeout, fault = (0.3, "timed out") if b"100 Continue" in rest else (30.0, "not HTTP")

    def script(send):
        send(start)
        for _ in range(1024):
            send(block)

    with RawEndpoint(script) as server:
        try:
            result = ask(server.url, tmp_path, timeout=timeout)
        except DataError as error:
            assert fault in str(error)
        else:
            assert "1 answer over 4 MiB" in result.report[-1]
            assert result.counts["endpoint"].dropped == {"answer over 4 MiB": 1}
        assert server.cut.wait(60)
        assert len(server.requests) == 1


def test_a_compressed_answer_is_never_unpacked(tmp_path):
    bomb = gzip.compress(bytes(1 << 26))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with RawEndpoint(lambda send: send(head + bomb)) as server:
        result = ask(server.url, tmp_path)
        assert b"Accept-Encoding: identity" in server.requests[0]
    assert "1 compressed answer" in result.report[-1]
    assert (result.pairs, result.asked) == ([], 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + GOOD,
        OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD),
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: %d\r\n\r\n%s" % (len(GOOD), GOOD),
        OK + b"Content-Length: %d\r\n\r\n%s and more" % (len(GOOD), GOOD),
    ],
)
def test_every_kind_of_ending_is_understood(tmp_path, raw):
    with RawEndpoint(lambda send: send(raw)) as server:
        assert [pair.query for pair in ask(server.url, tmp_path).pairs] == ["who built port zero"]


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (OK + b"Content-Length: 999999999999\r\n\r\n" + GOOD, "broke off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n" + GOOD, "broke off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n" + GOOD, "not HTTP"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + GOOD, "not HTTP"),
        (OK + b"Content-Length: -5\r\nConnection: close\r\n\r\n" + GOOD, "not HTTP"),
        (OK + b"Content-Length: many\r\nConnection: close\r\n\r\n" + GOOD, "not HTTP"),
        (b"hello\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 " + KEY.encode() * 9000, "not HTTP"),
        (b"", "broke the connection off"),
    ],
)
def test_an_answer_that_lies_counts_and_is_no_answer(tmp_path, raw, what):
    with RawEndpoint(lambda send: send(raw)) as server:
        with pytest.raises(DataError, match=what) as error:
            ask(server.url, tmp_path, tries=2, backoff=0.0)
        assert len(server.requests) == 2
        assert KEY not in str(error.value)
        assert ask(server.url, tmp_path, max_requests=2).capped == 1
        assert len(server.requests) == 2


def test_a_shorter_length_is_a_malformed_answer(tmp_path):
    with RawEndpoint(lambda send: send(OK + b"Content-Length: 20\r\n\r\n" + GOOD)) as server:
        assert ask(server.url, tmp_path).counts["endpoint"].dropped == {"malformed answer": 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_named_without_where_it_leads(tmp_path, status):
    with RawEndpoint(lambda send: send(OK + b"\r\n" + GOOD)) as thief:
        location = f"{thief.url}/{KEY}".encode()
        raw = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location)
        with RawEndpoint(lambda send: send(raw)) as server:
            with pytest.raises(SettingError, match=f"redirects .{status}") as error:
                ask(server.url, tmp_path)
            assert len(server.requests) == 1
        assert thief.requests == []
    assert KEY not in str(error.value)


def test_a_proxy_sees_no_request_that_is_not_encrypted(tmp_path, monkeypatch):
    with RawEndpoint(lambda send: send(b"HTTP/1.1 500 No\r\n\r\n")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        with RawEndpoint(lambda send: send(OK + b"\r\n" + GOOD)) as server:
            assert len(ask(server.url, tmp_path).pairs) == 1
        assert proxy.requests == []


def test_a_proxy_is_a_tunnel_and_sees_no_key(tmp_path, monkeypatch):
    with RawEndpoint(lambda send: send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:pass%40word@127.0.0.1:{proxy.port}")
        with pytest.raises(DataError, match="cannot be reached .the proxy refuses the tunnel: 407") as error:
            ask("https://models.invalid/v1", tmp_path)
        (seen,) = proxy.requests
    assert seen.startswith(b"CONNECT models.invalid:443")
    assert b"Basic bWU6cGFzc0B3b3Jk" in seen  # me:pass@word
    assert KEY.encode() not in seen
    assert "pass" not in str(error.value)
    cache = (tmp_path / "answers.jsonl").read_bytes()
    assert cache == b""  # nothing was sent, nothing counts


@pytest.mark.parametrize("proxy", ["socks5://me:pw@127.0.0.1:9", "https://127.0.0.1:9", "http://"])
def test_a_proxy_of_another_kind_is_a_setting(tmp_path, monkeypatch, proxy):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(SettingError, match="environment's proxy for https cannot be used") as error:
        ask("https://models.invalid/v1", tmp_path)
    assert "pw" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("https://host/v1/", "https://host/v1/chat/completions"),
        ("HTTP://[::1]:80/v1/chat/completions", "http://[::1]/v1/chat/completions"),
        ("http://host:443", "http://host:443/chat/completions"),
    ],
)
def test_addresses(url, whole):
    assert find_address(url) == whole


@pytest.mark.parametrize(
    "url",
    [
        "",
        7,
        "host/v1",
        "//host/v1",
        "file:///etc/passwd",
        "ftp://host/v1",
        "https://user:hunter22@host/v1",
        "htps://user:hunter22@host/v1",
        "https://host:port/v1",
        "https://host:99999/v1",
        "https://a b/v1",
        "https://" + "a" * 80 + ".org/v1",
        "https://host/v1?key=hunter22",
        "https://host/v1#hunter22",
        "https://host/v 1",
        "https://host/v1\u00e9",
        "http://[::1/v1",
        "https://host/" + "a" * 70_000,
    ],
)
def test_what_is_no_address_is_refused_and_not_quoted(url):
    with pytest.raises(SettingError, match=r"endpoint( is|'s)") as error:
        find_address(url)
    assert "hunter22" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "key_name", "refused"),
    [
        ("http://models.invalid/v1", "OPENAI_API_KEY", True),
        ("http://10.0.0.1/v1", "OPENAI_API_KEY", True),
        ("http://10.0.0.1/v1", "", False),
        ("http://10.0.0.1/v1", "MY_KEY", False),
        ("http://127.0.0.1/v1", "OPENAI_API_KEY", False),
        ("http://localhost/v1", "OPENAI_API_KEY", False),
        ("http://[::1]/v1", "OPENAI_API_KEY", False),
        ("https://models.invalid/v1", "OPENAI_API_KEY", False),
    ],
)
def test_the_default_key_leaves_this_machine_encrypted(tmp_path, monkeypatch, url, key_name, refused):
    monkeypatch.setenv("MY_KEY", "another-secret")
    options = {"cache": tmp_path / "c", "max_requests": 1, "api_key_env": key_name}
    if not refused:
        EndpointWriter(url, "m", **options)
        return
    with pytest.raises(SettingError, match="unencrypted"):
        EndpointWriter(url, "m", **options)


def test_a_server_that_never_answers_counts(tmp_path):
    """Twelve requests were once sent at max_requests=5."""
    with RawEndpoint(lambda send: server.done.wait(60)) as server:
        result = ask(server.url, tmp_path, timeout=0.05, tries=100, backoff=0.0, max_requests=5)
        assert (result.asked, result.spent.requests, result.capped) == (5, 5, 1)
        assert "without a usable answer: 5 timed out" in result.report[-1]
        assert "the tokens of 5 are estimated" in result.report[-1]
        assert result.spent.written == 5 * 200  # the most that it may have written
        again = ask(server.url, tmp_path, timeout=0.05, max_requests=5)
        assert (again.asked, again.spent) == (0, result.spent)
        assert all(server.arrived.acquire(timeout=60) for _ in range(5))
    assert len(server.requests) == 5


def test_json_that_no_reader_expects_is_malformed(tmp_path):
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b"\xff\xfe", b"NaN", b'"\\ud800"', b""):
        raw = OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        with RawEndpoint(lambda send, raw=raw: send(raw)) as server:
            result = ask(server.url, tmp_path, max_requests=50)
        assert result.counts["endpoint"].dropped == {"malformed answer": 1}
        assert result.asked == 1  # the one before is not in the cache
    assert b'"answer"' not in (tmp_path / "answers.jsonl").read_bytes()
