"""An application package for Vespa: schema with MaxSim, services, encoder, and a feed of exact token vectors.

schemas/doc.sd     a mixed tensor for the token vectors; rank profiles ``maxsim`` and ``bm25_maxsim``
services.xml       a container with Vespa's colbert-embedder over the encoder, and one content node
encoder/           the format ``onnx``: graphs, tokenizer, recipe.json
feed.jsonl         documents with their vectors, for ``vespa feed``
query.json         a query with its vectors, for ``vespa query``

Vespa's own embedder follows ColBERT with BERT's vocabulary: it removes punctuation before the model reads a document,
and fills every query. The vectors in the feed and in ``input.query(qt)`` are Tardif's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.folders import write_json
from tardif.integrations.checkpoints import onnx
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

NAME = "doc"
SAMPLE = (
    Document("sample-1", "The moon pulls the sea and makes the tides."),
    Document("sample-2", "Bake the bread for forty minutes at 220 degrees."),
    Document("sample-3", "Interest rates rose by 0.25% in March and fell in June."),
)
_QUERY = "what makes the tides?"

_SCHEMA = """schema {name} {{
    document {name} {{
        field id type string {{
            indexing: summary | attribute
        }}
        field title type string {{
            indexing: summary | index
            index: enable-bm25
        }}
        field text type string {{
            indexing: summary | index
            index: enable-bm25
        }}
        # One unit vector per scored token of the text.
        field colbert type tensor<float>(token{{}}, v[{dim}]) {{
            indexing: attribute
        }}
    }}
    fieldset default {{
        fields: title, text
    }}
    rank-profile maxsim {{
        inputs {{
            query(qt) tensor<float>(querytoken{{}}, v[{dim}])
        }}
        # For each query token the largest inner product with a token of the document, summed.
        function maxsim() {{
            expression: sum(reduce(sum(query(qt) * attribute(colbert), v), max, token), querytoken)
        }}
        first-phase {{
            expression: maxsim
        }}
    }}
    rank-profile bm25_maxsim inherits maxsim {{
        first-phase {{
            expression: bm25(title) + bm25(text)
        }}
        second-phase {{
            rerank-count: 100
            expression: maxsim
        }}
    }}
}}
"""

_SERVICES = """<?xml version="1.0" encoding="utf-8" ?>
<services version="1.0">
    <container id="default" version="1.0">
{component}        <search/>
        <document-api/>
        <nodes>
            <node hostalias="node1"/>
        </nodes>
    </container>
    <content id="content" version="1.0">
        <redundancy>1</redundancy>
        <documents>
            <document type="{name}" mode="index"/>
        </documents>
        <nodes>
            <node hostalias="node1" distribution-key="0"/>
        </nodes>
    </content>
</services>
"""

_COMPONENT = """        <component id="colbert" type="colbert-embedder">
            <transformer-model path="encoder/model.onnx"/>
            <tokenizer-model path="encoder/tokenizer.json"/>
            <max-tokens>{document}</max-tokens>
            <max-query-tokens>{query}</max-query-tokens>
            <max-document-tokens>{document}</max-document-tokens>
            <transformer-start-sequence-token>{start}</transformer-start-sequence-token>
            <transformer-end-sequence-token>{end}</transformer-end-sequence-token>
            <transformer-mask-token>{mask}</transformer-mask-token>
            <query-token-id>{query_marker}</query-token-id>
            <document-token-id>{document_marker}</document-token-id>
            <transformer-output>token_embeddings</transformer-output>
        </component>
"""


def write(model: MultiVectorEncoder, folder: Path, texts: Sequence[str], documents: Sequence[Document]) -> list[str]:
    """Write the application package.

    Args:
        model: the model.
        folder: an empty folder.
        texts: the texts that int8 is measured on.
        documents: the documents of the feed.

    Returns:
        What Vespa will do differently from Tardif.

    Raises:
        ModelError: the encoder cannot be exported; the message says why.
    """
    (folder / "encoder").mkdir()
    notes = onnx.write(model, folder / "encoder", texts)
    encoder = onnx.OnnxEncoder(folder / "encoder")
    dim = int(encoder.recipe["dim"])
    (folder / "schemas").mkdir()
    (folder / "schemas" / f"{NAME}.sd").write_text(_SCHEMA.format(name=NAME, dim=dim), encoding="utf-8")
    component = _embedder(model, encoder.recipe)
    services = _SERVICES.format(name=NAME, component=component)
    (folder / "services.xml").write_text(services, encoding="utf-8")
    skipped = _feed(folder / "feed.jsonl", documents, encoder)
    query = {
        "yql": f"select * from {NAME} where true",
        "ranking": "maxsim",
        "input.query(qt)": {"blocks": _blocks(encoder.encode([_QUERY], "query")[0])},
    }
    write_json(folder / "query.json", query)
    if component:
        notes.append(
            "Vespa's colbert-embedder removes BERT's punctuation before the model reads a document and fills every "
            "query with mask tokens; the vectors in feed.jsonl are this model's own. Encode queries with encoder/."
        )
    else:
        notes.append("services.xml has no colbert-embedder, which needs markers and a mask token: use encoder/.")
    if skipped:
        notes.append(f"{skipped} documents without a scored token are not in feed.jsonl.")
    return notes


def _embedder(model: MultiVectorEncoder, recipe: Any) -> str:
    """Return Vespa's embedder in XML, or nothing if the model lacks what it always inserts."""
    transformer: Any = model[0]
    tokenizer = transformer.tokenizer
    markers = [recipe[task]["prompt_ids"] for task in onnx.TASKS]
    special = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id]
    if None in special or any(len(ids) != 1 for ids in markers):
        return ""
    expansion = recipe["query"]["expansion"]
    return _COMPONENT.format(
        document=recipe["document"]["max_tokens"],
        query=expansion["length"] if expansion else min(32, recipe["query"]["max_tokens"]),
        start=special[0],
        end=special[1],
        mask=special[2],
        query_marker=markers[0][0],
        document_marker=markers[1][0],
    )


def _feed(path: Path, documents: Sequence[Document], encoder: onnx.OnnxEncoder) -> int:
    """Write the feed, and return the number of documents without a vector."""
    skipped = 0
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            (vectors,) = encoder.encode([document.content], "document")
            if not len(vectors):
                skipped += 1
                continue
            fields: dict[str, Any] = {"id": document.id, "title": document.title, "text": document.text}
            fields["colbert"] = {"blocks": _blocks(vectors)}
            value = {"put": f"id:{NAME}:{NAME}::{document.id}", "fields": fields}
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
    return skipped


def _blocks(vectors: onnx.Vectors) -> dict[str, list[float]]:
    """Return vectors as Vespa's mixed tensors have them: by the number of the token."""
    return {str(number): [round(float(value), 8) for value in vector] for number, vector in enumerate(vectors)}
