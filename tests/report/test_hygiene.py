"""What a report shows of a prepared set."""

from tardif.preparation import prepare_folder
from tardif.report.sections.hygiene import hygiene, summary
from tardif.report.sources import read_source

ROWS = [
    ("how do I reset it?", "Hold the red button for ten seconds."),
    ("how do I reset it?", "Hold the red button for ten seconds."),
    ("why is it loud?", "<b>Clean</b> the fan."),
    ("who pays?", "The sender pays for the parcel."),
]


def test_it_shows_what_the_rules_found_with_the_texts_that_the_set_still_has(tmp_path):
    folder = prepare_folder([ROWS], None, tmp_path / "set", miner="none", validation=0, on={"markup": "keep"})
    source = read_source(folder)
    shown = hygiene(source, "data").content
    rules = {row[0]: row[2:] for row in shown["tables"][1].rows}
    assert rules["duplicate"] == ("drop", "1") and rules["markup"] == ("keep", "1")
    group = next(one for one in shown["examples"] if one["rule"] == "duplicate")
    row = dict(zip(group["table"].head, group["table"].rows[0], strict=True))
    assert (row["query"], row["document"]) == ROWS[0]
    verdict = summary(source)
    assert verdict.lead == "3 documents, 3 queries"
    assert verdict.rest == ": 4 judgements were read, 3 used and 1 not."
