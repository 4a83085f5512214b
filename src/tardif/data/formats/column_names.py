"""The usual names of columns and the usual words of labels: one table of each, which every reader of rows uses.

A column is known by its name alone, never by the values of the first rows. Names are compared by :func:`plain`, so
``Corpus-ID`` is ``corpus_id``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from tardif.text.normal import normalise


def plain(name: str) -> str:
    """The form in which column names are compared: lower case, with underscores.

    >>> plain("Query-ID")
    'query_id'
    """
    if not name.isascii():  # macOS writes é as two characters
        name = unicodedata.normalize("NFC", name)
    # Spaces and hyphens differ between tools that write the same column.
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def stem(name: str) -> str:
    """The name without its number: ``positive_2`` is ``positive``."""
    return plain(name).rstrip("0123456789").rstrip("_")


# A table of questions and answers often names its columns in its own language.
_FOREIGN_QUERIES = tuple(map(plain, (
    "frage", "pregunta", "domanda", "pergunta", "vraag", "fråga", "spørsmål", "spørgsmål", "kysymys", "pytanie",
    "otázka", "kérdés", "întrebare", "intrebare", "soru", "вопрос", "питання", "запитання", "въпрос", "ερώτηση", "سؤال",
    "السؤال", "שאלה", "質問", "問題", "问题", "질문", "câu hỏi", "pertanyaan", "प्रश्न",
)))  # fmt: skip
_FOREIGN_POSITIVES = tuple(map(plain, (
    "antwort", "réponse", "reponse", "respuesta", "risposta", "resposta", "antwoord", "svar", "vastaus", "odpowiedź",
    "odpověď", "odpoveď", "válasz", "răspuns", "raspuns", "cevap", "yanıt", "ответ", "відповідь", "отговор", "απάντηση",
    "إجابة", "الإجابة", "جواب", "תשובה", "回答", "答え", "答案", "답변", "câu trả lời", "jawaban", "उत्तर",
)))  # fmt: skip

_QUERIES = ("query", "question", "anchor")
_QUERY_IDS = ("query_id", "qid")
_DOCUMENT_IDS = ("document_id", "doc_id", "docid", "docno", "pid", "passage_id", "corpus_id")
# In rows of queries with documents these may be the row's own id, so they name nothing there.
ROW_IDS = ("_id", "id")

# The columns of a table of documents, by role; of several usual names in one row the first is taken.
DOCUMENT_COLUMNS = {
    "id": (*ROW_IDS, *_DOCUMENT_IDS),
    "text": ("text", "document", "passage", "content", "contents", "body"),
    "title": ("title",),
    "metadata": ("metadata",),
}

# The columns of a list of queries, by role.
QUERY_COLUMNS = {"query_id": (*ROW_IDS, *_QUERY_IDS), "query": ("text", *_QUERIES, *_FOREIGN_QUERIES)}

# The columns of a table of queries with documents, by role.
JUDGEMENT_COLUMNS = {
    "query": _QUERIES,
    "positive": ("positive", "positives", "answer", "passage", "document", "context", "response"),
    "negative": ("negative*", "negatives"),
    "documents": ("documents",),
    "scores": ("scores",),
    "label": ("label", "labels", "score", "relevance", "rel", "similarity", "relevance_score", "grade"),
    "clicks": ("clicks", "clicked", "click", "click_count", "n_clicks", "num_clicks", "is_click", "is_clicked"),
    "impressions": ("impressions", "impression", "impression_count", "n_impressions", "num_impressions", "views"),
    "query_id": _QUERY_IDS,
    "document_id": (
        *_DOCUMENT_IDS,
        *("positive_id", "positive_ids", "pos_id", "pos_ids", "positive_doc_id", "positive_doc_ids"),
        *("positive_passage_id", "positive_passage_ids"),
    ),
    "document_ids": ("document_ids", "doc_ids", "docids", "pids", "passage_ids", "corpus_ids"),
    "negative_id": ("negative_id*", "negative_ids", "neg_id", "neg_ids"),
}

_ROLE_OF = {name: role for role, names in JUDGEMENT_COLUMNS.items() for name in names if "*" not in name}
_FOREIGN_ROLE_OF = dict.fromkeys(_FOREIGN_QUERIES, "query") | dict.fromkeys(_FOREIGN_POSITIVES, "positive")
_IDS = ("_id", "_ids")
_NOT_TEXTS = ("_score", "_scores", "_label", "_labels")  # negative_score describes negatives, and is no text of one


def known_role(name: str) -> str | None:
    """The role of a column of a table of queries with documents, if it has a usual English name.

    >>> known_role("Negative_3"), known_role("colour")
    ('negative', None)
    """
    compared = plain(name)
    if compared.startswith("negative"):
        if compared.endswith(_IDS) or stem(name).endswith(_IDS):
            return "negative_id"
        return None if compared.endswith(_NOT_TEXTS) else "negative"
    role = _ROLE_OF.get(compared)
    if role is None and _ROLE_OF.get(stem(name)) == "positive":
        return "positive"
    return role


def foreign_role(name: str) -> str | None:
    """The role of a column with a usual name in another language than English."""
    role = _FOREIGN_ROLE_OF.get(plain(name))
    return role or ("positive" if _FOREIGN_ROLE_OF.get(stem(name)) == "positive" else None)


_USUAL = {name for table in (DOCUMENT_COLUMNS, QUERY_COLUMNS) for names in table.values() for name in names}


def is_usual(name: str) -> bool:
    """Whether a column of any table usually has this name."""
    return plain(name) in _USUAL or (known_role(name) or foreign_role(name)) is not None


def first_usual(columns: Iterable[str], usual: Sequence[str]) -> str | None:
    """The column with the first of some usual names.

    Args:
        columns: the names in a row or header.
        usual: plain names, the preferred first.

    >>> first_usual(["Text", "DocNo"], DOCUMENT_COLUMNS["id"])
    'DocNo'
    """
    found = {plain(name): name for name in columns if isinstance(name, str)}
    return next((found[name] for name in usual if name in found), None)


# Words for an event, not a judgement: a pair may have many events, and they may contradict each other.
_CLICKED, _SKIPPED = ("click", "clicked"), ("skip", "skipped", "not clicked", "not_clicked")
CLICKS = frozenset(_CLICKED + _SKIPPED)
POSITIVE = {"1", "true", "yes", "y", "positive", "pos", "relevant", "correct", "entailment", *_CLICKED}
NEGATIVE = {
    *("0", "false", "no", "n", "negative", "neg", "irrelevant", "not relevant", "not_relevant", "non-relevant"),
    *("incorrect", "contradiction", "neutral", *_SKIPPED),
}


def label_word(text: str) -> bool | None:
    """The meaning of a word: True (relevant), False (not relevant), or None if it is no label.

    >>> label_word("Yes"), label_word("skipped"), label_word("perhaps")
    (True, False, None)
    """
    word = normalise(text)
    return True if word in POSITIVE else False if word in NEGATIVE else None
