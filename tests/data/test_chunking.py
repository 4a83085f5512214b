"""Laws of chunking, with every family of tokenizers: nothing is lost, nothing is too long, always the same."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tardif.data import chunking
from tardif.data.chunking import PIECE, Chunker, marked, placing
from tardif.errors import ModelError, SettingError
from tardif.types import Document, Outline, Piece

TEXTS = ["the quick brown fox jumps over the lazy dog", "late interaction keeps one vector per token", "晚期交互 模型"]
PROSE = "The quick brown fox jumps. Late interaction keeps one vector per token.\n\n"


@dataclass(frozen=True)
class Base:
    transformer: Path
    name: str = "tiny"
    max_tokens: int = 256


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.WordPieceTrainer(vocab_size=120, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False),
    )
    return tokenizer


def byte_pairs():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["[CLS]", "[SEP]"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>", "[CLS]", "[SEP]"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    found = {}
    for make in (wordpiece, byte_pairs, unigram):
        tokenizer = make()
        ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
        # As published ones are: what is counted must not be cut by it.
        tokenizer.enable_truncation(16)
        tokenizer.enable_padding(length=16)
        folder = tmp_path_factory.mktemp(make.__name__)
        tokenizer.save(str(folder / "tokenizer.json"))
        found[make.__name__] = Base(folder)
    return found


@pytest.fixture(scope="module")
def base(bases):
    return bases["wordpiece"]


def read_length(base, document):
    """The tokens that the model reads: those of its own tokenizer, and the marker."""
    tokenizer = Tokenizer.from_file(str(base.transformer / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return len(tokenizer.encode(document.content).ids) + 1


def bare(text):
    return "".join(text.split())


def covers(pieces, text):
    """Whether the pieces, in order and overlapping, spell the whole text (white space aside)."""
    text, done = bare(text), 0
    for piece in map(bare, pieces):
        # Where text repeats itself a piece may stand in many places; the last one leaves the least to come.
        at = text.rfind(piece, 0, done + len(piece))
        if at < 0:
            return False
        done = max(done, at + len(piece))
    return done == len(text)


texts = st.one_of(
    st.text(max_size=120),
    st.lists(st.sampled_from([*TEXTS, "\n\n", "\n", " ", "# Head\n", "- item\n", "```\n", ". "]), max_size=40).map(
        "".join
    ),
    st.sampled_from(["晚期交互", "aGVsbG8", "ﷺ", "👩‍👩‍👧", "é", "x" * 41, "\x1c\x85 \t"]).flatmap(
        lambda part: st.integers(1, 120).map(lambda times: part * times)
    ),
)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), text=texts, title=st.one_of(st.just(""), st.text(max_size=30), st.just("a title " * 20)))
def test_no_text_is_lost_and_no_piece_is_too_long(bases, data, text, title):
    name = data.draw(st.sampled_from(sorted(bases)))
    overlap = data.draw(st.sampled_from([None, 0, 16]))
    suffix = data.draw(st.sampled_from([".txt", ".md"]))
    document = Document(f"d{suffix}", text, title, {"year": 1})
    pieces = Chunker(bases[name], 32, overlap).chunk(document)
    assert pieces
    assert all(read_length(bases[name], piece) <= 32 for piece in pieces)
    said = "" if all(piece.title == title for piece in pieces) else title
    if len(pieces) == 1 and pieces[0].id == document.id:
        assert pieces[0] == document or pieces[0].text == text.strip()
    else:
        assert covers([piece.text for piece in pieces], f"{said} {text}")
        assert [piece.id for piece in pieces] == [f"{document.id}#{n}" for n in range(1, len(pieces) + 1)]
        assert all(piece.metadata == {"year": 1} for piece in pieces)
        assert [(piece.piece.document, piece.piece.number, piece.piece.of) for piece in pieces] == [
            (document.id, n, len(pieces)) for n in range(1, len(pieces) + 1)
        ]
        for piece in pieces:
            stretch = text[piece.piece.start : piece.piece.end]
            # The first ones may begin with a title that is too long to repeat.
            assert stretch == piece.text or (said and piece.text.endswith(stretch) and piece.piece.start == 0)
    assert pieces == Chunker(bases[name], 32, overlap).chunk(document)


def test_what_fits_stays_as_it_is(base):
    document = Document("a", "  the quick brown fox\n", "late")
    assert Chunker(base, 32).chunk(document)[0] is document


def test_a_long_one_is_cut_at_its_paragraphs_with_its_title(base):
    paragraph = PROSE.strip() + " " + PROSE.strip()
    tokens = read_length(base, Document("a", paragraph, "The fox"))
    pieces = Chunker(base, tokens + 1, 0).chunk(Document("a", f"{paragraph}\n\n" * 3, "The fox", {"lang": "en"}))
    assert [(piece.id, piece.title, piece.text) for piece in pieces] == [
        (f"a#{n}", "The fox", paragraph) for n in (1, 2, 3)
    ]
    assert pieces[1].metadata == {"lang": "en"}
    start = len(paragraph) + 2
    assert pieces[1].piece == Piece("a", 2, 3, start, start + len(paragraph))


def test_a_users_own_columns_are_his(base):
    mine = {"parent": "mine", "piece": "of cake", "page": 7}
    pieces = Chunker(base, 32).chunk(Document("a", PROSE * 4, "", mine))
    assert len(pieces) > 1
    assert all(piece.metadata == mine for piece in pieces)
    assert marked(pieces[0]).metadata == {**mine, PIECE: pieces[0].piece.as_json()}


def test_pieces_say_their_section_and_page(base):
    page = f"{TEXTS[0]} {TEXTS[0]}. "
    text = f"# Top\n\n{page}\n\n## One\n\n{page}\n\n```\n# no heading\n```\n\n## Two\n\n{page}\n"
    pieces = Chunker(base, 40, 0).chunk(Document("x.md", text))
    sections = {piece.piece.headings for piece in pieces}
    assert sections == {("Top",), ("Top", "One"), ("Top", "Two")}
    outline = Outline(pages=((0, 2), (len(page), 5)))
    pieces = Chunker(base, 40, 0).chunk(Document("x.pdf", page * 2, outline=outline))
    assert [piece.piece.page for piece in pieces] == [2, *[2 if p.piece.start < len(page) else 5 for p in pieces[1:]]]
    assert pieces[-1].piece.page == 5
    assert all(piece.piece.headings == () for piece in pieces)


def test_pieces_repeat_the_end_of_the_one_before(base):
    text = " ".join(TEXTS[0].split() * 20)
    apart, over = (Chunker(base, 40, overlap).chunk(Document("a", text)) for overlap in (0, 12))
    assert len(over) > len(apart)
    assert over[1].text.split()[0] in over[0].text.split()[-12:]
    assert sum(len(piece.text) for piece in over) > len(text) * 1.1
    assert Chunker(base, 40).overlap == 4


def test_markdown_is_cut_at_its_headings(base):
    section = f"## One\n\n{TEXTS[0]}\n\n{TEXTS[1]}\n\n"
    text = section + section.replace("One", "Two")
    pieces = Chunker(base, 40, 0).chunk(Document("x", text, metadata={"path": "x.md"}))
    assert [piece.text.split("\n")[0] for piece in pieces] == ["## One", "## Two"]


def test_a_title_too_long_to_repeat_opens_the_text(base):
    title = "the lazy dog jumps " * 8
    pieces = Chunker(base, 32, 0).chunk(Document("a", PROSE * 2, title))
    assert {piece.title for piece in pieces} == {""}
    assert covers([piece.text for piece in pieces], title + PROSE * 2)


def test_a_text_split_by_windows_is_the_same_all_over(base, monkeypatch):
    document = Document("a", PROSE * 40, "The fox")
    whole = Chunker(base, 40, 8).chunk(document)
    monkeypatch.setattr(chunking, "_WINDOW", 700)
    assert Chunker(base, 40, 8).chunk(document) == whole
    monkeypatch.setattr(chunking, "_WINDOW", 50)
    pieces = Chunker(base, 40, 8).chunk(Document("a", "x" * 500 + " " * 200 + PROSE))
    assert covers([piece.text for piece in pieces], "x" * 500 + PROSE)


def spied(monkeypatch):
    """The lengths of what is given to the splitter from now on."""
    windows, split = [], Chunker._splitter

    def spy(self, *args, **options):
        splitter = split(self, *args, **options)

        class Spy:
            def chunk_indices(self, window):
                windows.append(len(window))
                return splitter.chunk_indices(window)

        return Spy()

    monkeypatch.setattr(Chunker, "_splitter", spy)
    return windows


@pytest.mark.parametrize("suffix", [".txt", ".md"])
@pytest.mark.parametrize("part", ["晚期交互模型", "ไทยแลนด์", "x", "a,b", "word ", "aB3+/"])
def test_a_text_without_an_end_of_sentence_is_split_some_pieces_at_a_time(bases, monkeypatch, part, suffix):
    """The splitter looks at all the rest of such a stretch for every piece: over 160,000 characters, minutes."""
    windows = spied(monkeypatch)
    text = (part * 16_000)[:16_000]
    pieces = Chunker(bases["byte_pairs"], 64).chunk(Document(f"a{suffix}", text))
    assert max(windows) <= 8_000
    assert sum(windows) < 2 * len(text)
    assert covers([piece.text for piece in pieces], text)


@pytest.mark.parametrize("suffix", [".txt", ".md"])
def test_a_text_of_sentences_is_split_at_once(bases, monkeypatch, suffix):
    windows = spied(monkeypatch)
    Chunker(bases["byte_pairs"], 64).chunk(Document(f"a{suffix}", PROSE * 400))
    assert windows == [len(PROSE) * 400]


def test_a_base_with_a_vocabulary_alone_is_counted_by_transformers(base, tmp_path):
    vocabulary = json.loads((base.transformer / "tokenizer.json").read_text())["model"]["vocab"]
    vocabulary |= {token: len(vocabulary) + n for n, token in enumerate(["[PAD]", "[MASK]"])}
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    document = Document("a", PROSE * 3)
    pieces = Chunker(Base(tmp_path), 40, 0).chunk(document)
    assert pieces == Chunker(base, 40, 0).chunk(document)


@pytest.mark.parametrize(
    ("tokens", "overlap", "message"),
    [
        (31, None, "chunk=31: give a whole number of tokens, 32 or more"),
        (True, None, "chunk=True"),
        (257, None, "chunk=257: the base tiny reads at most 256 tokens"),
        (64, 33, "overlap=33: give a whole number of tokens, at most half of the 64"),
        (64, -1, "overlap=-1"),
    ],
)
def test_settings_out_of_range(base, tokens, overlap, message):
    with pytest.raises(SettingError, match=message):
        Chunker(base, tokens, overlap)


def test_a_broken_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="tokenizer of the base tiny cannot be loaded"):
        Chunker(Base(tmp_path), 64)


def test_chunking_does_not_import_torch(base):
    code = (
        "import sys, pathlib, types; from tardif.data.chunking import Chunker; from tardif.types import Document\n"
        f"base = types.SimpleNamespace(name='b', max_tokens=99, transformer=pathlib.Path({str(base.transformer)!r}))\n"
        "assert len(Chunker(base, 40).chunk(Document('a', 'the fox. ' * 99))) > 1\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_judgement_moves_to_the_piece_that_shares_most_words():
    pieces = [
        Document("a#1", "The fox and the dog. Introduction."),
        Document("a#2", "How a FOX sleeps at night"),
        Document("a#3", "fox, dog"),
        Document("a#4", "晚期交互の模型"),
    ]
    assert placing(pieces)("how does the fox sleep at night?") == "a#2"
    assert placing(pieces)("dog") == "a#1"  # the first of equals
    assert placing([pieces[3], pieces[1]])("nothing of it") == "a#4"
    assert placing(pieces)("introduction to foxes") == "a#1"  # a rare word weighs more
    assert placing(pieces)("什么是交互") == "a#4"
