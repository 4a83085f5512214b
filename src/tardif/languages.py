"""Language codes and what the lexical tools know of each: stemmer and stopwords."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from tardif.errors import SettingError


@dataclass(frozen=True, slots=True)
class Language:
    """A language that text can be declared to be in.

    ``stemmer`` is the Snowball algorithm's name in PyStemmer, ``stopwords`` the list's name in
    bm25s; ``None`` where the library has none, and then words are left as they are.
    """

    code: str
    name: str
    stemmer: str | None = None
    stopwords: str | None = None


# ISO 639-1 code, ISO 639-2/3 codes, English name, stemmer, stopwords.
_TABLE: tuple[tuple[str, tuple[str, ...], str, str | None, str | None], ...] = (
    ("ar", ("ara",), "Arabic", "arabic", None),
    ("bg", ("bul",), "Bulgarian", None, None),
    ("bn", ("ben",), "Bengali", None, None),
    ("ca", ("cat",), "Catalan", "catalan", None),
    ("cs", ("ces", "cze"), "Czech", "czech", None),
    ("da", ("dan",), "Danish", "danish", "da"),
    ("de", ("deu", "ger"), "German", "german", "de"),
    ("el", ("ell", "gre"), "Greek", "greek", None),
    ("en", ("eng",), "English", "english", "en"),
    ("eo", ("epo",), "Esperanto", "esperanto", None),
    ("es", ("spa",), "Spanish", "spanish", "es"),
    ("et", ("est",), "Estonian", "estonian", None),
    ("eu", ("eus", "baq"), "Basque", "basque", None),
    ("fa", ("fas", "per"), "Persian", "persian", None),
    ("fi", ("fin",), "Finnish", "finnish", None),
    ("fr", ("fra", "fre"), "French", "french", "fr"),
    ("ga", ("gle",), "Irish", "irish", None),
    ("he", ("heb",), "Hebrew", None, None),
    ("hi", ("hin",), "Hindi", "hindi", None),
    ("hr", ("hrv",), "Croatian", None, None),
    ("hu", ("hun",), "Hungarian", "hungarian", None),
    ("hy", ("hye", "arm"), "Armenian", "armenian", None),
    ("id", ("ind",), "Indonesian", "indonesian", None),
    ("it", ("ita",), "Italian", "italian", "it"),
    ("ja", ("jpn",), "Japanese", None, None),
    ("ko", ("kor",), "Korean", None, "ko"),
    ("lt", ("lit",), "Lithuanian", "lithuanian", None),
    ("lv", ("lav",), "Latvian", None, None),
    ("ne", ("nep",), "Nepali", "nepali", None),
    ("nl", ("nld", "dut"), "Dutch", "dutch", "nl"),
    ("no", ("nor", "nb", "nn", "nob", "nno"), "Norwegian", "norwegian", "no"),
    ("pl", ("pol",), "Polish", "polish", None),
    ("pt", ("por",), "Portuguese", "portuguese", "pt"),
    ("ro", ("ron", "rum"), "Romanian", "romanian", None),
    ("ru", ("rus",), "Russian", "russian", "ru"),
    ("sk", ("slk", "slo"), "Slovak", None, None),
    ("sl", ("slv",), "Slovenian", None, None),
    ("sr", ("srp",), "Serbian", "serbian", None),
    ("st", ("sot",), "Sesotho", "sesotho", None),
    ("sv", ("swe",), "Swedish", "swedish", "sv"),
    ("sw", ("swa",), "Swahili", None, None),
    ("ta", ("tam",), "Tamil", "tamil", None),
    ("te", ("tel",), "Telugu", None, None),
    ("th", ("tha",), "Thai", None, None),
    ("tr", ("tur",), "Turkish", "turkish", "tr"),
    ("uk", ("ukr",), "Ukrainian", None, None),
    ("ur", ("urd",), "Urdu", None, None),
    ("vi", ("vie",), "Vietnamese", None, None),
    ("yi", ("yid",), "Yiddish", "yiddish", None),
    ("zh", ("zho", "chi", "cmn", "yue"), "Chinese", None, "zh"),
)

_BY_CODE: dict[str, Language] = {}
for _code, _others, _name, _stemmer, _stopwords in _TABLE:
    _language = Language(_code, _name, _stemmer, _stopwords)
    for _key in (_code, *_others, _name.lower()):
        _BY_CODE[_key] = _language


def language(code: str) -> Language:
    """Find a language by its ISO 639 code (``en``, ``eng``, ``en-US``, ``EN``) or English name.

    Raises:
        SettingError: no such language; the message names the nearest ones.
    """
    key = str(code).strip().lower().replace("_", "-")
    found = _BY_CODE.get(key) or _BY_CODE.get(key.split("-")[0])
    if found is None:
        near = difflib.get_close_matches(key, _BY_CODE, n=3, cutoff=0.7)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise SettingError(f"The language {code!r} is not known: give an ISO 639 code such as en, de or zh.{hint}")
    return found
