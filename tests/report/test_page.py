"""The page of a report: what it shows, and that it asks for nothing from elsewhere."""

import re
from functools import cache
from html.parser import HTMLParser

import pytest

import report_samples
from tardif.report import report

VOID = {"meta", "br", "link", "img", "input", "hr", "base"}


class Outline(HTMLParser):
    """Tags in order; knows a tag that is closed and was not opened."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    @property
    def headings(self):
        return [int(tag[1]) for tag, _ in self.tags if re.fullmatch(r"h[1-6]", tag)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("reports")
    return {
        "support": report_samples.training(root / "support", queries=80),
        "other": report_samples.training(root / "other", queries=80, seed=1, lr=5e-5, steps=40),
        "evaluated": report_samples.evaluation(root / "evaluated", queries=60),
        "old": report_samples.training(root / "old", queries=60, evidence=False),
    }


@pytest.fixture(scope="module")
def pages(folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    mixes = {name: [folder] for name, folder in folders.items() if name != "other"}
    mixes["mix"] = [folders["support"], folders["other"]]
    return {name: report(mix, root / f"{name}.html").read_text(encoding="utf-8") for name, mix in mixes.items()}


@pytest.fixture(scope="module")
def outlines(pages):
    """The outline of a page, read once: to parse one takes longer than all that is asked of it."""
    return cache(lambda name: Outline(pages[name]))


@pytest.mark.parametrize("name", ["support", "evaluated", "old", "mix"])
def test_the_page_is_well_formed_and_asks_for_nothing_from_elsewhere(pages, outlines, name):
    outline = outlines(name)
    assert outline.open == []
    assert not re.search(r"https?:|@import|url\((?!#)|<script|javascript:", pages[name])
    assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form"} & {t for t, _ in outline.tags}
    policy = next(attrs for tag, attrs in outline.tags if "http-equiv" in attrs)
    assert "default-src 'none'" in policy["content"]


@pytest.mark.parametrize("name", ["support", "evaluated", "old", "mix"])
def test_headings_are_in_order_and_ids_are_unique(outlines, name):
    outline = outlines(name)
    levels = outline.headings
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in zip(levels, levels[1:], strict=False))
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"] for _, attrs in outline.tags if "href" in attrs}
    assert targets <= {f"#{one}" for one in ids}


@pytest.mark.parametrize("name", ["support", "evaluated", "old", "mix"])
def test_each_chart_has_an_alternative_and_a_table_and_each_table_a_caption(pages, outlines, name):
    outline = outlines(name)
    charts = [attrs for tag, attrs in outline.tags if tag == "svg" and attrs["class"] == "chart"]
    assert charts and all(chart["role"] == "img" and len(chart["aria-label"]) > 20 for chart in charts)
    tags = [tag for tag, _ in outline.tags]
    assert len(charts) == len(re.findall(r"<summary>The figures as a table", pages[name]))
    assert tags.count("table") == tags.count("caption")
    # Colours are the page's own: a chart in matplotlib's would not be seen in the dark.
    assert not re.search(r"(fill|stroke):\s*#", pages[name])
