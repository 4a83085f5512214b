"""Publication of a checkpoint on the Hugging Face hub, or on another server that HF_ENDPOINT names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tardif._version import __version__
from tardif.errors import ModelError, SettingError, TardifError, first_line
from tardif.extras import need
from tardif.progress import Console, Silent

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Files of a model that an earlier push may have left in another format. Others, such as a licence, stay.
_MODEL_FILES = ["*.json", "*.safetensors", "*.onnx", "*.bin", "*.model", "vocab.txt", "merges.txt", "artifact.metadata"]


def push_checkpoint(
    checkpoint: str | Path,
    hub_id: str,
    form: str = "sentence-transformers",
    *,
    private: bool = False,
    console: Console | None = None,
) -> str:
    """Export a checkpoint and upload it.

    What is uploaded is what :func:`tardif.integrations.checkpoints.export_checkpoint` writes: model, checksums and
    card, without results, logs, or anything of the held-out queries. The token comes from the environment
    (``HF_TOKEN``) or the hub's own login.

    Args:
        checkpoint: the folder or hub id of a late-interaction model.
        hub_id: the repository, ``OWNER/NAME``. It is created if it does not exist.
        form: the format of the export.
        private: create a private repository; one that exists must be private.
        console: where to show progress.

    Returns:
        The address of the model.

    Raises:
        SettingError: the hub id cannot be used, nobody is logged in, or a repository that exists is public.
        ModelError: the checkpoint cannot be exported, or the hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi

    from tardif.integrations.checkpoints.exporting import export_checkpoint

    need("train", "Pushing a checkpoint")
    console = console or Silent()
    # Before any work: a missing login must not wait for an export.
    check_hub_id(hub_id)
    token = _token(hub_id)
    with tempfile.TemporaryDirectory(prefix="tardif-") as place:
        made = export_checkpoint(checkpoint, Path(place) / "model", form, name=hub_id)
        for note in made.notes:
            console.say(note)
        api = HfApi(token=token, library_name="tardif", library_version=__version__)
        with _answering(hub_id, api):
            return _upload(api, made.folder, hub_id, private)


def check_hub_id(hub_id: str) -> str:
    """Return a hub id that a repository can have.

    >>> check_hub_id("your-name/support")
    'your-name/support'

    Raises:
        SettingError: no repository can have it.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(hub_id)
        if hub_id.count("/") != 1:
            raise HFValidationError("the owner is missing")
    except HFValidationError as error:
        raise SettingError(f"{hub_id!r} is no hub id ({first_line(error)}): give OWNER/NAME.") from error
    return hub_id


def _token(hub_id: str) -> str:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise SettingError(f"{hub_id} cannot be pushed while HF_HUB_OFFLINE is set: unset it.")
    token = get_token()
    if not token:
        raise SettingError(
            f"{hub_id} cannot be pushed: nobody is logged in to the hub. Log in once with hf auth login, or set "
            "HF_TOKEN to a token that may write."
        )
    return token


def _upload(api: HfApi, folder: Path, hub_id: str, private: bool) -> str:
    # None leaves it to the owner's own default.
    address = api.create_repo(hub_id, private=private or None, exist_ok=True)
    if private and not api.model_info(hub_id).private:
        raise SettingError(
            f"{hub_id} exists and is public: make it private on the hub first, give another id, or leave out --private "
            "(in Python private=True)."
        )
    api.upload_folder(
        repo_id=hub_id,
        folder_path=folder,
        commit_message=f"Publish the model with Tardif {__version__}",
        delete_patterns=_MODEL_FILES,
    )
    return str(address)


@contextmanager
def _answering(hub_id: str, api: HfApi) -> Iterator[None]:
    """Turn every failure of an upload into one clear error. No message holds the token."""
    try:
        yield
    except TardifError:
        raise
    except Exception as error:  # of the hub's library, of its HTTP client, of the system
        first = _first(error)
        status = getattr(getattr(first, "response", None), "status_code", None)
        if status == 401:
            why = "the token is not valid: log in again with hf auth login, or set HF_TOKEN"
        elif status == 403:
            why = "the token may not write there: give an id of your own, or a token that may write"
        elif status is not None:
            why = f"{api.endpoint} answered {status}: {first_line(first)}"
        else:
            why = f"{api.endpoint} cannot be reached ({first_line(first)}): check the network, then run it again"
        raise ModelError(f"{hub_id} could not be pushed: {why}.") from error


def _first(error: BaseException) -> BaseException:
    """The hub's answer among the causes of an error, or the last cause: uploads wrap their errors."""
    while getattr(error, "response", None) is None and error.__cause__ is not None:
        error = error.__cause__
    return error
