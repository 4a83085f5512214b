"""An index with metadata, made once, that every framework's components search."""

import pytest

ROWS = [
    {"id": "moon", "text": "The moon pulls the sea and makes the tides.", "lang": "en", "year": 1969},
    {"id": "bread", "text": "Bake the bread for forty minutes at 220 degrees.", "lang": "en", "year": 2001},
    {
        "id": "paris",
        "text": "What is the capital of France? It is Paris.",
        "title": "Paris",
        "lang": "en",
        "year": 2020,
    },
    {"id": "zug", "text": "Der Zug fährt über die Brücke nach Süden.", "lang": "de", "year": 2020},
]


@pytest.fixture(scope="session")
def index_folder(multi_vector_folder, tmp_path_factory):
    from tardif import Retriever

    folder = tmp_path_factory.mktemp("integrations") / "index"
    Retriever.build(multi_vector_folder, ROWS, folder, quiet=True).close()
    return str(folder)


@pytest.fixture(scope="session")
def expected(index_folder):
    """The hits of :class:`tardif.Retriever` for the query that every framework asks."""
    from tardif import Retriever

    with Retriever(index_folder) as retriever:
        return [(hit.document_id, hit.score) for hit in retriever.search(QUERY, k=4)]


QUERY = "what makes the tides of the sea?"
