import csv
import io
import random
import re

import pytest
from rich.cells import cell_len

from samples import write_beir
from tardif import SettingError, evaluate
from tardif.evaluation.figures import Figures, pairs
from tardif.evaluation.forms import as_csv, as_markdown
from tardif.evaluation.measures import means
from tardif.evaluation.table import make_table
from tardif.evaluation.terminal import text_of
from tardif.evaluation.verdict import BETTER, FEW, SAME, WORSE

HOSTILE = [
    "a\x1b[31mred\u202e|*bold*<b>&_x_`$1$",
    "x" * 300,
    "日本語のモデル" * 9,
    "y" * 299 + "\n",
    "[red]rich[/red] :smile:",
    "z" * 300,
]
SETS = ["adi", "climate-fever-and-more/test-of-2026", "a|b\x07 [link](http://x)", "mean"]


def figures(name, data, gain, *, count=120, measures=("nDCG@10", "R@100"), spread=0.05):
    """A system's figures: better than another on the same data by the difference of their gains, on average."""
    base, own = random.Random(data), random.Random(name)
    basis = {f"q{n}": base.random() / 2 for n in range(count)}
    values = {m: {q: value + gain + own.gauss(0, spread) for q, value in basis.items()} for m in measures}
    return Figures(name, data, means(values), values)


@pytest.fixture(scope="module")
def hostile():
    found = [figures(name, data, place / 20) for place, name in enumerate(HOSTILE) for data in SETS]
    return found, pairs(found, HOSTILE[-1])


def test_one_set_has_systems_down_and_measures_across():
    found = [figures("old", "faq", 0.0), figures("new", "faq", 0.1)]
    table = make_table(found, pairs(found))
    assert (table.title, table.systems, table.columns) == ("faq", ("old", "new"), ("nDCG@10", "R@100"))
    ((old, new),) = [section.rows for section in table.sections]
    assert [(cell.best, cell.beats) for cell in (*old, *new)] == [(False, "")] * 2 + [(True, "a")] * 2
    assert new[0].text == f"{found[1].measures['nDCG@10']:.4f}"


def test_several_sets_are_across_with_their_mean_a_section_for_each_measure():
    found = [figures(name, data, gain) for name, gain in (("a", 0.0), ("b", 0.1)) for data in ("one", "mean")]
    table = make_table(found)
    assert table.columns == ("one", "mean", "mean 2")
    assert [section.heading for section in table.sections] == ["nDCG@10", "R@100"]
    one, two, both = table.sections[0].rows[1]
    assert float(both.text) == pytest.approx((float(one.text) + float(two.text)) / 2, abs=1e-4)
    assert both.best and not both.beats


def test_equal_figures_are_all_best_and_counts_are_not():
    found = [figures(name, "faq", gain, measures=["NumRet", "RR"], spread=0) for name, gain in (("a", 0), ("b", 0))]
    rows = make_table(found).sections[0].rows
    assert [[cell.best for cell in row] for row in rows] == [[False, True], [False, True]]


@pytest.mark.parametrize("width", [80, 120, 40])
def test_a_terminal_shows_every_figure_whatever_the_names(hostile, width):
    found, compared = hostile
    table = make_table(found, compared)
    shown = text_of(table, width=width)
    lines = shown.splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", shown)
    for section in table.sections:
        for row in section.rows:
            for cell in row:
                assert re.search(rf"{re.escape(cell.text)}{'[*]' if cell.best else ''} ?{cell.beats}(?![a-z])", shown)
    assert "* best of its column" in lines
    assert "".join(shown.split()).count("z" * 300) == 1  # the name, whole, below


def test_a_long_name_keeps_what_it_is_and_its_end():
    found = [figures(name, "faq", 0.0) for name in ("dense:/models/of/2026/minilm-l6", "/models/of/2026/minilm-l6")]
    lines = text_of(make_table(found), width=60).splitlines()
    assert lines[2].startswith("dense:…") and lines[3].startswith("…")
    assert lines[-2:] == [
        f"{line.split()[0]}  is {figure.name}" for line, figure in zip(lines[2:4], found, strict=True)
    ]


def test_comparisons_are_told_in_words(hostile):
    found, compared = hostile
    text = " ".join(text_of(make_table(found, compared), compared, width=80).split())
    assert text.count("(Holm, 5 pairs)") == len(compared) == 40
    assert "worse: -.2" in text


def test_markdown_shows_names_as_they_are(hostile):
    text = as_markdown(*hostile)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert len(rows) == 2 + 2 * len(HOSTILE)
    assert "<b>" not in text and "\x1b" not in text and r"\*bold\*" in text and r"\[link\]" in text
    assert text.count("**") == 2 * 2 * 5  # the best of each column, and of the means


def test_csv_has_all_digits_and_reads_back(hostile):
    found, compared = hostile
    first, second = as_csv(found, compared).split("\n\n")
    head, *rows = csv.reader(io.StringIO(first))
    assert head == ["system", "data", "nDCG@10", "R@100"]
    assert [float(row[2]) for row in rows[: len(found)]] == [item.measures["nDCG@10"] for item in found]
    assert [row[1] for row in rows[len(found) :]] == ["mean 2"] * len(HOSTILE)
    assert [float(row["p_holm"]) for row in csv.DictReader(io.StringIO(second))] == [pair.p_holm for pair in compared]


@pytest.mark.parametrize(
    ("gain", "count", "spread", "verdict"),
    [(0.1, 120, 0.05, BETTER), (-0.1, 120, 0.05, WORSE), (0.0, 200, 0.3, SAME), (0.0, 20, 0.3, FEW), (0, 20, 0, SAME)],
)
def test_the_words_say_what_was_found(gain, count, spread, verdict):
    both = [figures("new", "faq", gain, count=count, spread=spread), figures("old", "faq", 0.0, count=count, spread=0)]
    pair = pairs(both)[0]
    assert pair.verdict == verdict
    said = "too few queries to tell" if verdict == FEW else verdict
    assert re.fullmatch(
        rf"{said}: [+-]\.\d+ nDCG@10 \(95 % [+-]\.\d+ to [+-]\.\d+\), p [<=] \.?\d+; \d+ queries won, \d+ lost, "
        r"\d+ tied(; about [\d,]+ would show \.030)?",
        pair.words(),
    )
    assert (pair.low <= pair.difference <= pair.high) and pair.queries == count
    assert pair.as_json()["queries"] == count


def test_the_decision_is_by_the_corrected_p_value():
    systems = [figures(f"s{n}", "faq", 0.0, spread=0.2, measures=["RR"]) for n in range(8)]
    found = pairs([*systems, figures("base", "faq", 0.053, spread=0.2, measures=["RR"])])
    assert any(pair.p < 0.05 <= pair.p_holm for pair in found)
    assert all(pair.verdict not in (BETTER, WORSE) for pair in found if pair.p_holm >= 0.05)
    assert all("(Holm, 36 pairs)" in pair.words() for pair in found)


def test_a_measure_of_another_scale_has_an_interval_of_its_scale():
    values = {f"q{n}": float(n % 7 * 100) for n in range(60)}
    ours = {query: value + n % 3 for n, (query, value) in enumerate(values.items())}
    (count,) = pairs(
        [Figures(name, "faq", means({"NumRet": of}), {"NumRet": of}) for name, of in (("a", ours), ("b", values))]
    )
    assert count.difference == pytest.approx(60) == sum(ours.values()) - sum(values.values())
    assert count.words().startswith("higher: +60.0 NumRet (95 % +4")
    assert count.low < 60 < count.high and count.high - count.low < 60
    small = {name: {query: value / 10_000 for query, value in of.items()} for name, of in (("a", ours), ("b", values))}
    err = pairs([Figures(name, "faq", means({"ERR@20": of}), {"ERR@20": of}) for name, of in small.items()])[0]
    # The same values on another scale: everything scales with them, and the verdict stays.
    assert (err.high - err.low) * 60 * 10_000 == pytest.approx(count.high - count.low)
    assert (err.verdict, err.p, err.needed) == (count.verdict, count.p, count.needed)


def test_python_has_the_same_in_one_value(tmp_path):
    one, two = write_beir(tmp_path / "one"), write_beir(tmp_path / "two", qrels={"test": "q1\td2\t1\n"})
    (tmp_path / "mine.run").write_text("q1 Q0 d2 1 2 x\n")
    names = ["bm25", str(tmp_path / "mine.run")]
    found = evaluate(names, [one, two], measures=["RR@10"], compare=True, out=tmp_path / "out")
    assert [pair.data for pair in found.comparisons] == ["one", "two"]
    assert [item["measures"] for item in found.as_json()["means"]] == [{"RR@10": 0.5}, {"RR@10": 0.5}]
    assert {"low", "high", "won", "lost", "tied", "verdict", "p_holm"} < found.as_json()["comparisons"][0].keys()
    assert found.words()[0].startswith(f"bm25 against {names[1]} on one: too few queries to tell: +1.00 RR@10")
    assert "RR@10" in str(found) and "<table>" in found._repr_html_()
    assert (tmp_path / "out" / "results.json").is_file()
    with pytest.raises(SettingError, match="no pair to compare"):
        evaluate("bm25", one, compare=True)
