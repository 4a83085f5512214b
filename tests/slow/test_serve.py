"""`tardif serve` as a process: what it answers, what it refuses, and how it stops."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from served_process import ServedProcess
from tardif import Retriever
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe
from tardif.types import Document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

TOKEN = "correct-horse-battery-staple"
DOCUMENTS = [
    Document("tides", "The moon pulls the sea and makes the tides.", "Sea", {"lang": "en", "year": 2020}),
    Document("bread", "Bake the bread for forty minutes.", metadata={"lang": "en"}),
    Document("a/b", "An id with a slash.", metadata={"tags": ["x"]}),
    Document("..", "An id of two dots."),
    *(Document(f"long-{number}", "the sea and the moon " * 2_000) for number in range(40)),
]
# Seconds to wait for a process that imports torch on a machine that has other work.
TIME = 600
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def folder(bert_tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("serve")
    model = build_model(resolve_base(str(bert_tiny)), Recipe(dim=32))
    model.save_pretrained(str(root / "model"), create_model_card=False)
    Retriever.build(root / "model", DOCUMENTS, root / "support.index", hybrid=True, quiet=True).close()
    return root / "support.index"


@pytest.fixture(scope="module")
def served(folder):
    """A service whose clients have little time."""
    limits = ["head_seconds=1", "body_seconds=2", "write_seconds=1", "idle_seconds=2", "body_bytes=2MiB"]
    with ServedProcess(folder, *(part for limit in limits for part in ("--limit", limit))) as process:
        yield process


def command_line(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "tardif", *map(str, arguments)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_answers_are_the_command_lines(served, folder):
    for query, more, options in [
        ("what makes the tides", {}, []),
        ("bread", {"filter": "lang = 'en'", "explain": True}, ["--filter", "lang = 'en'", "--explain"]),
        ("the sea", {"hybrid": True, "exact": True}, ["--hybrid", "--exact"]),
    ]:
        asked = httpx.post(
            f"{served.url}/indexes/support.index/search", json={"query": query, "k": 3, **more}, timeout=TIME
        )
        assert asked.json() == command_line("search", folder, query, "-k", "3", "--json", *options)
    asked = httpx.post(
        f"{served.url}/indexes/support.index/explain", json={"query": "tides", "document_id": "tides"}, timeout=TIME
    ).json()
    assert asked == command_line("explain", folder, "tides", "--id", "tides", "--json")


def test_the_process_has_no_torch_also_after_documents_were_added(folder):
    with ServedProcess(folder, "--limit", "answer_seconds=600") as service:
        before = [line for line in service.maps().splitlines() if "torch" in line or "sentencepiece" in line]
        given = {"documents": [{"document_id": "new", "text": "Copper conducts heat.", "metadata": {"year": 1}}]}
        url = f"{service.url}/indexes/support.index"
        assert httpx.put(f"{url}/documents", json=given, timeout=TIME).json() == {"added": 1, "replaced": 0}
        hits = httpx.post(f"{url}/search", json={"query": "copper heat", "k": 1}, timeout=TIME).json()["hits"]
        assert hits[0]["document_id"] == "new"
        ranked = httpx.post(f"{url}/rerank", json={"query": "tides", "documents": ["bread", "tides"]}, timeout=TIME)
        assert ranked.json()["hits"][0]["position"] == 1
        assert httpx.request("DELETE", f"{url}/documents", json={"document_ids": ["new"]}, timeout=TIME).json() == {
            "deleted": 1
        }
        after = [line for line in service.maps().splitlines() if "torch" in line or "sentencepiece" in line]
        assert (before, after) == ([], [])
        assert service.stop() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_what_it_accepted(folder, number, code):
    with ServedProcess(folder) as service:
        url, found = f"{service.url}/indexes/support.index", {}
        name = f"last-{code}"

        def put():
            given = {"documents": [{"document_id": name, "text": "The last one."}]}
            found["answer"] = httpx.put(f"{url}/documents", json=given, timeout=TIME)

        putting = threading.Thread(target=put)
        putting.start()
        # The worker is being started, which takes seconds, when the signal comes.
        while "tardif_waiting_documents 1.0" not in httpx.get(f"{service.url}/metrics").text:
            time.sleep(0.02)
        assert service.stop(number) == code
        putting.join()
        assert found["answer"].json() == {"added": 1, "replaced": 0}
        log = service.log()
        assert "Traceback" not in log
        events = [line["event"] for line in service.lines()]
        assert events[0] == "started"
        assert events[-1] == "stopped"
    with Retriever(folder) as opened:
        assert opened.index.get([name])
        opened.delete([name])
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url}/healthz")


def test_a_second_service_on_the_port_fails_with_one_line(served, folder):
    port = str(served.address[1])
    done = subprocess.run(
        [sys.executable, "-m", "tardif", "serve", str(folder), "--port", port],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tardif: Port {port} of 127.0.0.1 is in use")
    assert len(done.stderr.splitlines()) == 1


def test_other_machines_need_the_token(folder, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with ServedProcess(folder, "--host", "0.0.0.0", "--token-file", file, "--read-only") as service:
        url = f"http://127.0.0.1:{service.address[1]}"
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/indexes").status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "any.example"}
        assert httpx.get(f"{url}/indexes", headers=headers).json()["indexes"][0]["read_only"] is True
        refused = httpx.put(
            f"{url}/indexes/support.index/documents",
            json={"documents": [{"document_id": "a", "text": "b"}]},
            headers=headers,
        )
        assert refused.status_code == 403
        assert TOKEN not in service.log()


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


def request(path="/indexes", method="GET", body=b"", version="1.1", **headers):
    given = {"Host": "localhost", "Connection": "close", **{k.replace("_", "-"): v for k, v in headers.items()}}
    if body:
        given = {"Content-Length": str(len(body)), **JSON, **given}
    lines = [
        f"{method} {path} HTTP/{version}",
        *(f"{name}: {value}" for name, value in given.items() if value is not None),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


SEARCH = "/indexes/support.index/search"
FINE = b'{"query": "q"}'
HOSTILE = [
    (request(), 200),
    (request(version="1.0", Host=None), 200),
    (request(Host=None), 400),
    (request() .replace(b"Host: localhost", b"Host: localhost\r\nHost: evil"), 400),
    (request(Host="evil.example"), 421),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, 400),  # TLS
    (b"GET /indexes\r\n\r\n", 400),
    (b"GET  /indexes HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"GET /indexes HTTP/9.9\r\nHost: localhost\r\nConnection: close\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (request("/indexes\x7f"), 400),
    (request("/ind\u00e9xes"), 400),
    (request("http://localhost/indexes"), 404),
    (request("//indexes"), 404),
    (request("*", method="OPTIONS"), 404),
    (request("localhost:80", method="CONNECT"), 404),
    (request("/" + "a" * 40_000), 431),
    (request(X_Long="a" * 40_000), 431),
    (request(X_Bad="a\x00b"), 400),
    (request().replace(b"Connection", b"X Y: 1\r\nConnection"), 400),
    (request().replace(b"Connection", b"X: 1\r\n folded\r\nConnection"), 200),
    (request("/indexes/support.index/documents/%2e%2e"), 200),
    (request("/indexes/support.index/documents/a%2Fb"), 200),
    (request("/indexes/support.index/documents/a/b"), 200),
    (request("/indexes/support.index/documents/../../../etc/passwd"), 404),
    (request("/indexes/support.index/documents/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), 404),
    (request("/indexes/support.index/documents/%00"), 404),
    (request("/indexes/support.index/documents/%ff%fe"), 404),
    (request("/indexes/support.index/documents/%"), 404),
    (request("/indexes/support.index/documents/"), 400),
    (request("/indexes/..%2f..%2fetc"), 404),
    (request("/indexes/%2e%2e"), 404),
    (request("/indexes/support.index%2fsearch", method="POST", body=FINE), 200),  # the same path
    (request("/page/..%2fpage_files.py"), 404),
    (request("/page/%2e%2e/page_files.py"), 404),
    (request("/indexes/a%0d%0aSet-Cookie:%20x=1"), 404),
    (request(X_Request_Id="a%0d%0aSet-Cookie: x"), 200),
    (request(Origin="http://evil\x80", method="POST", path=SEARCH, body=FINE), 403),
    (request(SEARCH, method="POST", body=FINE), 200),
    (request(SEARCH, method="POST", body=FINE, Expect="100-continue"), 100),
    (request(SEARCH, method="POST", body=FINE, Content_Length="-1"), 400),
    (request(SEARCH, method="POST", body=FINE, Content_Length="1e3"), 400),
    (request(SEARCH, method="POST", body=FINE, Content_Length="9" * 30), 400),
    (request(SEARCH, method="POST", body=FINE, Content_Length="99999999"), 413),
    (request(SEARCH, method="POST", body=b"0" * 3_000_000), 413),
    (request(SEARCH, method="POST", Content_Length=None, Transfer_Encoding="chunked", **JSON)
     + b"e\r\n" + FINE + b"\r\n0\r\n\r\n", 200),
    (request(SEARCH, method="POST", Transfer_Encoding="chunked", **JSON) + b"100000\r\n" + b" " * 0x100000
     + b"\r\n100000\r\n" + b" " * 0x100000 + b"\r\n1\r\n \r\n0\r\n\r\n", 413),
    (request(SEARCH, method="POST", Transfer_Encoding="chunked", **JSON) + b"zz\r\n", 400),
    (request(SEARCH, method="POST", Transfer_Encoding="gzip, chunked", **JSON) + b"0\r\n\r\n", 501),
    (request(SEARCH, method="POST", body=FINE, Content_Encoding="gzip"), 415),
    (request(SEARCH, method="POST", body=b"{" * 100_000), 400),
    (request(SEARCH, method="POST", body=b'{"query": "q", "k": ' + b"9" * 100_000 + b"}"), 400),
    (request(SEARCH, method="POST", body=b'{"query": "' + b"a" * 100_000 + b'"}'), 400),
    (request(SEARCH, method="POST", body=b'{"query": "\\u0000"}'), 200),
    (request(Upgrade="websocket", Connection="Upgrade, close"), 200),
    (request(Upgrade="h2c", Connection="Upgrade, HTTP2-Settings, close"), 200),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "status"), HOSTILE)
def test_a_hostile_request_has_its_answer(served, sent, status):
    answer = served.raw(sent)
    assert status_of(answer) == status, answer[:600]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"set-cookie" not in head.lower()
    if status >= 400:
        assert b"application/problem+json" in head
        assert json.JSONDecoder().raw_decode(body.decode())[0]["status"] == status


def test_nothing_of_it_was_unexpected(served):
    """After every hostile request of this file, which ran before this."""
    for line in served.lines():
        assert line["level"] in ("info", "warning"), line
        assert line.get("status", 200) < 500 or line["status"] == 505, line  # 505: not HTTP/1.1
    assert "Traceback" not in served.log()


def test_slow_clients_are_left_and_do_not_hold_up_others(served):
    """Headers that trickle in, a body that does not come, a client that is silent, and one that does not read."""
    large = json.dumps({"queries": ["the sea"] * 60, "k": 40}).encode()
    started = time.monotonic()
    trickling, bodiless, silent, unreading = (socket.create_connection(served.address, timeout=30) for _ in range(4))
    unreading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bodiless.sendall(request(SEARCH, method="POST", body=FINE)[:-3])
    unreading.sendall(request(SEARCH, method="POST", body=large))

    def trickle():
        try:
            for letter in b"GET /indexes HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000:
                trickling.sendall(bytes([letter]))
                time.sleep(0.05)
        except OSError:
            pass

    thread = threading.Thread(target=trickle)
    thread.start()
    assert httpx.post(f"{served.url}{SEARCH}", json={"query": "tides"}, timeout=TIME).status_code == 200
    for connection, status in ((trickling, 408), (silent, 408), (bodiless, 408)):
        answer = b""
        try:
            while block := connection.recv(1 << 16):
                answer += block
        except ConnectionError:
            pass
        assert not answer or status_of(answer) == status
        connection.close()
    thread.join()
    # What nobody reads is dropped, with its connection.
    while any("ESTAB" in line for line in _connections(served, unreading)):
        assert time.monotonic() - started < 60
        time.sleep(0.2)
    unreading.close()


def _connections(served, client):
    """The service's end of a connection, as the system lists it (state 01 is established)."""
    port, other = served.address[1], client.getsockname()[1]
    with open("/proc/net/tcp") as file:  # noqa: PTH123
        rows = [line.split() for line in file.readlines()[1:]]
    ends = [(int(row[1].rpartition(":")[2], 16), int(row[2].rpartition(":")[2], 16), row[3]) for row in rows]
    return ["ESTAB" for own, peer, state in ends if (own, peer, state) == (port, other, "01")]


def test_an_idle_connection_is_closed(served):
    with socket.create_connection(served.address, timeout=30) as connection:
        connection.sendall(request(Connection="keep-alive"))
        answer = b""
        while block := connection.recv(1 << 16):
            answer += block
    assert status_of(answer) == 200


def test_more_connections_than_the_limit_are_refused(folder):
    with ServedProcess(folder, "--limit", "connections=3") as service:
        held = [socket.create_connection(service.address, timeout=30) for _ in range(3)]
        for connection in held:
            connection.sendall(request(Connection="keep-alive"))
            assert status_of(connection.recv(1 << 16)) == 200
        answer = service.raw(request())
        assert status_of(answer) == 503
        assert b"retry-after: 1" in answer.lower()
        for connection in held:
            connection.close()
        while status_of(service.raw(request())) != 200:
            time.sleep(0.05)


def test_an_overloaded_service_refuses_and_recovers(folder):
    with ServedProcess(folder, "--limit", "waiting_queries=4", "--limit", "requests=8") as service:
        statuses, lock = [], threading.Lock()
        asked = {"queries": ["the sea and the moon"] * 4, "k": 40, "exact": True}

        def ask():
            with httpx.Client() as client:
                for _ in range(10):
                    answer = client.post(f"{service.url}{SEARCH}", json=asked, timeout=TIME)
                    with lock:
                        statuses.append(answer.status_code)
                        assert answer.status_code == 200 or int(answer.headers["retry-after"]) >= 1

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(statuses) == 300
        assert set(statuses) == {200, 429}
        assert httpx.post(f"{service.url}{SEARCH}", json=asked, timeout=TIME).status_code == 200
        assert service.stop() == 0


def test_an_index_that_is_missing_or_damaged_is_one_line(folder, tmp_path):
    for path in (tmp_path / "none", tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "tardif", "serve", f"x={path}", "--port", "0"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1, done.stderr
