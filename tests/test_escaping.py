"""What a terminal would obey, or a reader would not see, is shown as an escape, wherever it is printed."""

import json
import logging
import unicodedata
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from samples import write_jsonl
from tardif import cli
from tardif.cli import output
from tardif.errors import DataError, TardifError, first_line
from tardif.escaping import json_text, visible
from tardif.progress import Bar, Console, _TerminalBar
from tardif.types import Mark

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;title\x07",
    "clipboard": "\x1b]52;c;YQ==\x1b\\",
    "one-byte CSI": "\x9b31m",
    "carriage return": "safe\rother",
    "backspace": "a\x08b",
    "delete": "a\x7fb",
    "nul": "a\0b",
    "override": "\u202egnp.exe",
    "isolate": "\u2066a\u2069",
    "mark": "a\u200fb\u200eb\u061c",
    "zero width": "a\u200bb\ufeffc\u2060",
    "latin joiner": "a\u200db\u200c",
    "soft hyphen": "a\xadb",
    "separators": "a\u2028b\u2029",
    "tags": "a\U000e0041b",
    "half a character": "a\ud800b",
    "filler": "a\u3164b",
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def is_safe(shown, allowed="\n"):
    """No character that acts or cannot be seen, by Unicode's own categories; spelt joiners aside."""
    return not [
        c
        for c in shown
        if c not in f"{allowed}\u200c\u200d" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and not 0x600 <= ord(c) <= 0x605  # signs that Arabic shows
        and c not in "\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # and others that have a shape
        and not 0x13430 <= ord(c) <= 0x1343F  # how hieroglyphs are joined
    ]  # fmt: skip


@hostile
def test_it_is_shown_as_an_escape(text):
    assert is_safe(visible(text), "")
    assert visible(text) != text
    assert visible(visible(text)) == visible(text)


@given(st.text(st.characters()))
def test_no_text_acts(text):
    assert is_safe(visible(text), "")
    assert is_safe(json_text([text, {text: text}], indent=2))


@given(st.recursive(st.text() | st.sampled_from(sorted(HOSTILE.values())), st.lists))
def test_json_reads_back_as_it_was(value):
    assert json.loads(json_text(value)) == value
    assert json.loads(json_text(value, indent=2)) == value


@pytest.mark.parametrize(
    "text",
    ["plain [red] words", "Zürich, 東京, снег", "می\u200cخواهم", "क\u094d\u200dष", "👩\u200d👩\u200d👧", "a\\x1b"],
)
def test_what_is_written_so_stays(text):
    assert visible(text) == text


def test_only_what_is_kept_stays():
    assert visible("a\tb\nc\r", keep="\t") == "a\tb\\nc\\r"


# Every place that prints


@hostile
def test_talk(text, capsys):
    console = Console()
    console.say(f"read {text}")
    with console.progress(text, 2, text) as bar:
        bar.advance(1, text)
    err = capsys.readouterr().err
    assert is_safe(err)
    assert err.count("\n") == 2


@hostile
def test_what_verbs_print(text, capsys):
    output.put(text)
    output.put_row([text, "b"])
    output.show_hits("q", [Hit(text)], as_json=False)
    out = capsys.readouterr().out
    assert is_safe(out.replace("\t", "", 1))
    assert out.count("\n") == 4
    output.show_hits("q", [Hit(text, snippet=text)], as_json=False)
    assert is_safe(capsys.readouterr().out)
    output.show_hits(text, [Hit(text)], as_json=True)
    out = capsys.readouterr().out
    assert is_safe(out)
    assert json.loads(out) == {"query": text, "hits": [{"id": text, text: text}]}


class Hit:
    rank, score, piece = 1, 0.5, None

    def __init__(self, text, snippet=None):
        self.document_id = self.title = self.text = text
        self.snippet, self.matches, self.title_matches = snippet, [Mark(0, 1, 0.5)], [Mark(0, 1, 0.5)]

    def as_json(self):
        return {"id": self.document_id, self.text: self.text}


@hostile
def test_errors(text):
    for error in (TardifError(text), DataError(text, text, 3)):
        assert is_safe(str(error))
    assert is_safe(first_line(ValueError(text)))


@hostile
def test_errors_of_the_command_line(text, monkeypatch, capsys):
    def raised(error):
        def app(**_):
            raise error

        monkeypatch.setattr(cli, "app", app)
        with pytest.raises(SystemExit) as ended:
            cli.main(["search"])
        assert ended.value.code == 1
        err = capsys.readouterr().err
        assert is_safe(err)
        assert err.count("\n") == 1

    raised(TardifError(text))
    raised(ValueError(text))


@pytest.mark.parametrize(
    "arguments",
    [["--{}"], ["{}"], ["search", "--{}"], ["search", "index", "a", "b{}"], ["search", "i", "q", "-k", "1", "{}"]],
)
def test_usage_errors(arguments, tardif):
    text = "\x1b[31mred\u202e\x9b31m"
    code, _, err = tardif(*[argument.format(text) for argument in arguments])
    assert code == 2
    assert is_safe(err)
    assert "red" in err


@hostile
def test_warnings_and_logs(text, tardif, capsys):
    tardif("--version")  # what the command line sets up stays
    stream = logging.StreamHandler()
    logger = logging.getLogger("somebody")
    logger.addHandler(stream)
    try:
        logger.warning("about %s", text)
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception(text)
    finally:
        logger.removeHandler(stream)
    err = capsys.readouterr().err + warnings.formatwarning(text, UserWarning, text, 1)
    assert is_safe(err)
    assert "about" in err and "ValueError" in err and "UserWarning" in err


def test_markup_is_shown_and_not_obeyed(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    bar = _TerminalBar("[red]what[/red] \x1b[5m", 3, "[link=http://a]units")
    bar.advance(1, "[bold]note :smile: \u202e")
    bar.close()
    err = capsys.readouterr().err
    assert "[red]what[/red] \\x1b[5m" in err
    assert "[link=http://a]units" in err and "[bold]note :smile: \\u202e" in err
    assert isinstance(bar, Bar)


def test_a_search_of_hostile_documents_in_a_terminal(tardif, multi_vector_folder, tmp_path):
    everything = " ".join(text for text in HOSTILE.values() if "\ud800" not in text)
    rows = [{"_id": f"d{n} {everything}", "title": everything, "text": f"{text} {everything}"}
            for n, text in enumerate(tiny.SENTENCES[:3])]  # fmt: skip
    corpus, index = write_jsonl(tmp_path / "corpus.jsonl", rows), tmp_path / "index"

    def run(*arguments):
        code, out, err = tardif(*arguments)
        assert (code, is_safe(err), is_safe(out)) == (0, True, True)
        return out

    run("index", multi_vector_folder, corpus, "--out", index)
    assert "\\x1b[31mred" in run("search", index, everything.replace("\0", ""))
    hits = json.loads(run("search", index, "tides", "--json"))["hits"]
    assert {hit["document_id"] for hit in hits} == {row["_id"] for row in rows}
    assert {hit["text"] for hit in hits} == {row["text"] for row in rows}
