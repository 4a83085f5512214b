"""Notes on any number of rows."""

from __future__ import annotations

import json

import pytest

from tardif.data import document_report
from tardif.data.document_report import DocumentReport, Note, Notes


@pytest.mark.parametrize("held", [0, 1, 5, 100])
def test_notes_beyond_those_in_memory_come_back_in_their_order(monkeypatch, tmp_path, held):
    monkeypatch.setattr(document_report, "_HELD", held)
    monkeypatch.setattr(document_report, "_BYTES", 64)  # a note or two are read at a time
    report = DocumentReport()
    for number in range(23):
        report.skip(f"été {number}\n.txt", f"reason {number % 2}", "why", line=number)
        report.cut(f"d{number}", "tokens")
        assert len(list(report.notes)) == len(report.notes) == 2 * number + 2
    expected = [
        note
        for n in range(23)
        for note in (
            Note("skipped", f"reason {n % 2}", "why", f"été {n}\n.txt", n),
            Note("cut", "longer than the model reads", "tokens", document=f"d{n}"),
        )
    ]
    assert list(report.notes) == list(report.notes) == expected
    assert expected[7] in report.notes and Note("read", "no") not in report.notes
    assert report.skipped == {"reason 0": 12, "reason 1": 11}
    assert report.lines()[1].startswith("11 skipped, reason 1: été 1") and report.lines()[1].endswith("and 8 more")
    report.write(tmp_path / "report.jsonl")
    assert [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()] == [
        note.as_json() for note in expected
    ]


def test_notes_may_be_added_while_they_are_read(monkeypatch):
    monkeypatch.setattr(document_report, "_HELD", 1)
    notes = Notes()
    notes.append(Note("read", "0"))
    for number, note in enumerate(notes, start=1):
        assert note.reason == str(number - 1)
        if number < 9:
            notes.append(Note("read", str(number)))
    assert len(notes) == 9
