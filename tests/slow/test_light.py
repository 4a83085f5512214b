"""The real base, exported and searched without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from queries import QUERIES, assert_same_scores
from tardif.data.documents import read_documents
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.onnx.convert import export_query_encoder
from tardif.encoder.onnx.encoder import LightEncoder
from tardif.encoder.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("light")]  # on one worker: what they share is dear


@pytest.fixture(scope="module")
def model(minilm):
    return build_model(resolve_base(minilm), Recipe(expansion=32))


@pytest.fixture(scope="module")
def light(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("light") / "encoder"
    export_query_encoder(model, folder)
    return LightEncoder(folder)


def test_scores_of_real_documents_are_those_of_the_model(model, light, collection):
    corpus = read_documents(collection("medquad") / "corpus.jsonl")
    documents = [document.content for document in corpus[:40]]
    questions = [" ".join(document.content.split()[:12]) + "?" for document in corpus[40:70]]
    assert_same_scores(model, light, [*QUERIES, *questions], documents, atol=1e-4)


def test_a_cold_process_needs_no_torch(light):
    script = (
        "import sys; from tardif.encoder.onnx.encoder import LightEncoder;"
        f"vectors, _ = LightEncoder({str(light.folder)!r}).encode_queries(['how do I reset my password?']);"
        "print(vectors.shape); print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "(32, 384)\nFalse False\n"
    assert done.stderr == ""
