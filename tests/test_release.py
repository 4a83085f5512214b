"""The version and the day of the release stand in one place; what else names them agrees."""

import re
from pathlib import Path

from tardif import __version__
from tardif._version import __date__

ROOT = Path(__file__).parents[1]


def test_the_citation_names_this_version():
    cited = dict(re.findall(r"^([\w-]+): (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))
    assert (cited["version"], cited["date-released"]) == (__version__, __date__)


def test_the_changelog_begins_with_this_version():
    """In the form of keepachangelog.com: versions with their days, and the kinds of changes that it names."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?([\w.]+)\]?(?: - (\S+))?$", text, re.MULTILINE)
    assert (__version__, __date__) in versions[:2], versions[:2]
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
