"""`tardif serve`: what it refuses before it does any work. tests/slow/test_serve.py has real services."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

TOKEN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.delenv("TARDIF_TOKEN", raising=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_need_a_token_or_that_it_is_said(tardif, tmp_path, host):
    code, out, err = tardif("serve", tmp_path, "--host", host)
    assert (code, out) == (2, "")
    for way_out in ("--token-file", "TARDIF_TOKEN", "--no-auth"):
        assert way_out in err


def test_a_token_and_no_auth_contradict_each_other(tardif, tmp_path, monkeypatch):
    monkeypatch.setenv("TARDIF_TOKEN", TOKEN)
    code, out, err = tardif("serve", tmp_path, "--no-auth")
    assert (code, out) == (2, "")
    assert TOKEN not in err


def test_a_token_is_no_argument(tardif, tmp_path):
    code, _, err = tardif("serve", tmp_path, "--token", TOKEN)
    assert code == 2
    assert "No such option" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--token-file", "none"], "--token-file none cannot be read"),
        (["--limit", "k"], "--limit k: write NAME=AMOUNT"),
        (["--limit", "hit=3"], "--limit hit: unknown; the limits are body_bytes, k,"),
        (["--limit", "k=3", "--limit", "k=4"], "--limit: k is given 2 times"),
        (["--allow-origin", "*"], "--allow-origin *: give scheme and host"),
        (["--host", "no host", "--no-auth"], "--host no host is no address"),
    ],
)
def test_options_that_cannot_be_used(fails, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert message in fails("serve", tmp_path, *options)


def test_a_port_that_is_taken_is_said_before_any_index_is_opened(fails, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = fails("serve", tmp_path / "none", "--port", port)
    assert line == (
        f"tardif: Port {port} of 127.0.0.1 is in use by another program: stop it, or give another --port.\n"
    )


def test_an_index_that_is_missing_or_badly_named(fails, tmp_path):
    assert "none" in fails("serve", tmp_path / "none", "--port", 0)
    (tmp_path / "two words").mkdir()
    assert f"docs={tmp_path}/two words" in fails("serve", tmp_path / "two words")
    assert "another index is named x" in fails("serve", f"x={tmp_path}", f"x={tmp_path}/a")


def test_the_service_imports_no_torch():
    script = "import sys, tardif.serving.running; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "tardif.serving.served_index" in loaded
    assert not loaded & {"torch", "transformers", "sentence_transformers", "datasets", "sklearn"}
