import pytest

from tardif.errors import SettingError
from tardif.text.languages import language


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("eng", "en"),
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("English", "en"),
        (" de ", "de"),
        ("ger", "de"),
        ("zho", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zh-Hans", "zh"),
        ("cmn_Hans_CN", "zh"),
        ("jpn", "ja"),
        ("ko-KR", "ko"),
        ("iw", "he"),
        ("sr-Latn-RS", "sr"),
        ("nb", "no"),
    ],
)
def test_a_language_is_found_by_any_of_its_names(asked, code):
    assert language(asked).code == code


@pytest.mark.parametrize("asked", ["", "xx", "klingon", "-", "e"])
def test_an_unknown_language_is_refused(asked):
    with pytest.raises(SettingError, match="is not known"):
        language(asked)


def test_an_unknown_language_suggests_near_ones():
    with pytest.raises(SettingError, match=r"Did you mean .*german"):
        language("germn")
