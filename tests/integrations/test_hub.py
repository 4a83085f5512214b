"""Pushing a checkpoint to a hub on this machine: what is uploaded, and what is said where that fails."""

from __future__ import annotations

import shutil

import pytest

from hub_server import TOKEN, Repository
from tardif.checksums import checksum
from tardif.encoder.base import resolve_base
from tardif.encoder.identity import fingerprint
from tardif.encoder.published import write_checksums
from tardif.errors import ModelError, SettingError
from tardif.integrations.checkpoints.hub import push_checkpoint
from tardif.training.model_card import CARD

# The hub's library still uploads large files in a way that its HTTP client deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def checkpoint(multi_vector_folder, tmp_path):
    """A checkpoint with what training leaves beside the model."""
    folder = shutil.copytree(multi_vector_folder, tmp_path / "model")
    (folder / "held_out.jsonl").write_text('{"query_id": "a private question"}')
    (folder / "log.jsonl").write_text("{}")
    return folder


@pytest.fixture
def login(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def test_what_an_export_writes_is_uploaded(hub, login, checkpoint):
    assert push_checkpoint(checkpoint, "me/support") == f"{hub.url}/me/support"
    files = hub.repositories["me/support"].files
    assert {"model.safetensors", "config.json", "modules.json", "checksums.json", CARD} <= files.keys()
    assert not {"held_out.jsonl", "results.json", "log.jsonl"} & files.keys()
    assert files["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()
    assert b'MultiVectorEncoder("me/support")' in files[CARD]
    assert not any(b"private question" in raw or TOKEN.encode() in raw for raw in files.values())
    assert not hub.repositories["me/support"].private


def test_what_was_pushed_is_the_same_model(hub, login, checkpoint):
    files = [path for path in checkpoint.rglob("*") if path.is_file() and path.suffix != ".jsonl"]
    write_checksums(checkpoint, {path.relative_to(checkpoint).as_posix(): checksum(path) for path in files})
    push_checkpoint(checkpoint, "me/support")
    base = resolve_base("me/support")
    # An index that was built with the checkpoint accepts it.
    assert fingerprint(base.folder) == fingerprint(checkpoint)


def test_a_second_format_replaces_the_first(hub, login, checkpoint):
    push_checkpoint(checkpoint, "me/support")
    own = {"LICENSE.txt": b"mine", "figure.png": b"x"}
    hub.repositories["me/support"].commit({**hub.repositories["me/support"].files, **own})
    push_checkpoint(checkpoint, "me/support", "stanford")
    files = hub.repositories["me/support"].files
    assert "artifact.metadata" in files and "modules.json" not in files
    assert own.items() <= files.items()


def test_a_private_repository_is_private_or_nothing_is_uploaded(hub, login, checkpoint):
    push_checkpoint(checkpoint, "me/secret", private=True)
    assert hub.repositories["me/secret"].private
    hub.repositories["me/open"] = Repository()
    hub.repositories["me/open"].commit({})
    with pytest.raises(SettingError, match="exists and is public"):
        push_checkpoint(checkpoint, "me/open", private=True)
    assert not hub.repositories["me/open"].files


def test_nobody_is_logged_in(hub, checkpoint):
    with pytest.raises(SettingError, match="hf auth login, or set HF_TOKEN"):
        push_checkpoint(checkpoint, "me/support")
    assert not hub.requests


def test_the_hubs_own_login_is_used(hub, checkpoint, tmp_path):
    (tmp_path / "hub-home").mkdir(exist_ok=True)
    (tmp_path / "hub-home" / "token").write_text(TOKEN)
    assert push_checkpoint(checkpoint, "me/support")


@pytest.mark.parametrize(
    ("refused", "status", "said"),
    [
        ("/api/repos/create", 401, "the token is not valid"),
        ("/api/repos/create", 403, "the token may not write there"),
        ("/api/models/me/support/commit", 403, "the token may not write there"),
        ("/api/models/me/support/preupload", 400, "answered 400"),
    ],
)
def test_a_refusal_is_one_clear_error(hub, login, checkpoint, refused, status, said):
    hub.refuse[refused] = status
    with pytest.raises(ModelError, match=f"^me/support could not be pushed: .*{said}") as caught:
        push_checkpoint(checkpoint, "me/support")
    assert "\n" not in str(caught.value) and TOKEN not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_one_clear_error(hub, login, checkpoint, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        push_checkpoint(checkpoint, "me/support")


@pytest.mark.parametrize("name", ["support", "a/b/c", "../x", "me/sup port", "me/"])
def test_an_id_that_no_repository_can_have(hub, login, checkpoint, name):
    with pytest.raises(SettingError, match="give OWNER/NAME"):
        push_checkpoint(checkpoint, name)
    assert not hub.requests


def test_offline_nothing_is_pushed(hub, login, checkpoint, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SettingError, match="HF_HUB_OFFLINE"):
        push_checkpoint(checkpoint, "me/support")


def test_the_command_line_pushes(hub, login, checkpoint, tmp_path, tardif):
    code, out, err = tardif("export", checkpoint, "--push", "me/support", "--private", "--format", "pylate")
    assert (code, out) == (0, f"{hub.url}/me/support\n"), err
    assert hub.repositories["me/support"].private
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "manifest.json").write_text("{}")
    for wrong in (
        (checkpoint, "--push", "me/support", "--out", tmp_path / "out"),
        (checkpoint, "--format", "pylate"),
        (checkpoint, "--out", tmp_path / "out"),
        (tmp_path / "set", "--push", "me/set"),
    ):
        assert tardif("export", *wrong)[:2] == (2, "")
