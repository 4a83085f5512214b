"""The verb ``mcp``, up to the server: ``tests/serving/test_mcp.py`` speaks with that."""

from __future__ import annotations

import signal
from importlib.util import find_spec

import pytest

# Not imported to see whether it is there: that takes a second, in every process.
pytestmark = pytest.mark.skipif(find_spec("mcp") is None, reason="mcp is not installed")


@pytest.mark.parametrize("others", [False, True])
def test_ctrl_c_means_what_it_did_when_the_server_has_ended(others, tmp_path, fails):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    before = (lambda number, frame: None) if others else signal.default_int_handler
    signal.signal(signal.SIGINT, before)
    try:
        assert "no-such.index" in fails("mcp", tmp_path / "no-such.index")
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
