"""Languages by ISO 639 code, with the stemmer and the stopword list that lexical search has for each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from tardif.errors import SettingError


@dataclass(frozen=True, slots=True)
class Language:
    """A language that texts can be declared to be in.

    Attributes:
        code: the ISO 639-1 code.
        name: the English name.
        stemmer: the Snowball algorithm's name in PyStemmer; None if there is none, and words are matched as they are.
        stopwords: the list's name in bm25s. If it is None, :func:`tardif.text.stopwords.stopwords` has another list for
            most languages.
    """

    code: str
    name: str
    stemmer: str | None = None
    stopwords: str | None = None


# ISO 639-1 code, ISO 639-2/3 codes, English name, stemmer, stopwords.
_TABLE: tuple[tuple[str, tuple[str, ...], str, str | None, str | None], ...] = (
    ("af", ("afr",), "Afrikaans", None, None),
    ("ar", ("ara", "arb"), "Arabic", "arabic", None),
    ("az", ("aze",), "Azerbaijani", None, None),
    ("be", ("bel",), "Belarusian", None, None),
    ("bg", ("bul",), "Bulgarian", None, None),
    ("bn", ("ben",), "Bengali", None, None),
    ("br", ("bre",), "Breton", None, None),
    ("bs", ("bos",), "Bosnian", None, None),
    ("ca", ("cat",), "Catalan", "catalan", None),
    ("cs", ("ces", "cze"), "Czech", "czech", None),
    ("cy", ("cym", "wel"), "Welsh", None, None),
    ("da", ("dan",), "Danish", "danish", "da"),
    ("de", ("deu", "ger"), "German", "german", "de"),
    ("el", ("ell", "gre"), "Greek", "greek", None),
    ("en", ("eng",), "English", "english", "en"),
    ("eo", ("epo",), "Esperanto", "esperanto", None),
    ("es", ("spa",), "Spanish", "spanish", "es"),
    ("et", ("est", "ekk"), "Estonian", "estonian", None),
    ("eu", ("eus", "baq"), "Basque", "basque", None),
    ("fa", ("fas", "per", "pes"), "Persian", "persian", None),
    ("fi", ("fin",), "Finnish", "finnish", None),
    ("fr", ("fra", "fre"), "French", "french", "fr"),
    ("ga", ("gle",), "Irish", "irish", None),
    ("gl", ("glg",), "Galician", None, None),
    ("gu", ("guj",), "Gujarati", None, None),
    ("ha", ("hau",), "Hausa", None, None),
    ("he", ("heb", "iw"), "Hebrew", None, None),
    ("hi", ("hin",), "Hindi", "hindi", None),
    ("hr", ("hrv",), "Croatian", None, None),
    ("hu", ("hun",), "Hungarian", "hungarian", None),
    ("hy", ("hye", "arm"), "Armenian", "armenian", None),
    ("id", ("ind", "in"), "Indonesian", "indonesian", None),
    ("is", ("isl", "ice"), "Icelandic", None, None),
    ("it", ("ita",), "Italian", "italian", "it"),
    ("ja", ("jpn",), "Japanese", None, None),
    ("ka", ("kat", "geo"), "Georgian", None, None),
    ("kk", ("kaz",), "Kazakh", None, None),
    ("km", ("khm",), "Khmer", None, None),
    ("kn", ("kan",), "Kannada", None, None),
    ("ko", ("kor",), "Korean", None, "ko"),
    ("ku", ("kur",), "Kurdish", None, None),
    ("la", ("lat",), "Latin", None, None),
    ("lo", ("lao",), "Lao", None, None),
    ("lt", ("lit",), "Lithuanian", "lithuanian", None),
    ("lv", ("lav", "lvs"), "Latvian", None, None),
    ("mk", ("mkd", "mac"), "Macedonian", None, None),
    ("ml", ("mal",), "Malayalam", None, None),
    ("mn", ("mon",), "Mongolian", None, None),
    ("mr", ("mar",), "Marathi", None, None),
    ("ms", ("msa", "may", "zsm"), "Malay", None, None),
    ("my", ("mya", "bur"), "Burmese", None, None),
    ("ne", ("nep", "npi"), "Nepali", "nepali", None),
    ("nl", ("nld", "dut"), "Dutch", "dutch", "nl"),
    ("no", ("nor", "nb", "nn", "nob", "nno"), "Norwegian", "norwegian", "no"),
    ("pa", ("pan",), "Punjabi", None, None),
    ("pl", ("pol",), "Polish", "polish", None),
    ("pt", ("por",), "Portuguese", "portuguese", "pt"),
    ("ro", ("ron", "rum"), "Romanian", "romanian", None),
    ("ru", ("rus",), "Russian", "russian", "ru"),
    ("si", ("sin",), "Sinhala", None, None),
    ("sk", ("slk", "slo"), "Slovak", None, None),
    ("sl", ("slv",), "Slovenian", None, None),
    ("so", ("som",), "Somali", None, None),
    ("sq", ("sqi", "alb"), "Albanian", None, None),
    ("sr", ("srp", "sh", "hbs"), "Serbian", "serbian", None),
    ("st", ("sot",), "Sesotho", "sesotho", None),
    ("sv", ("swe",), "Swedish", "swedish", "sv"),
    ("sw", ("swa", "swh"), "Swahili", None, None),
    ("ta", ("tam",), "Tamil", "tamil", None),
    ("te", ("tel",), "Telugu", None, None),
    ("th", ("tha",), "Thai", None, None),
    ("tl", ("tgl", "fil"), "Tagalog", None, None),
    ("tr", ("tur",), "Turkish", "turkish", "tr"),
    ("uk", ("ukr",), "Ukrainian", None, None),
    ("ur", ("urd",), "Urdu", None, None),
    ("uz", ("uzb",), "Uzbek", None, None),
    ("vi", ("vie",), "Vietnamese", None, None),
    ("yi", ("yid", "ji"), "Yiddish", "yiddish", None),
    ("yo", ("yor",), "Yoruba", None, None),
    ("zh", ("zho", "chi", "cmn", "yue"), "Chinese", None, "zh"),
    ("zu", ("zul",), "Zulu", None, None),
)

_BY_CODE: dict[str, Language] = {}
for _code, _others, _name, _stemmer, _stopwords in _TABLE:
    _language = Language(_code, _name, _stemmer, _stopwords)
    for _key in (_code, *_others, _name.lower()):
        _BY_CODE[_key] = _language


def language(code: str) -> Language:
    """Find a language by its ISO 639 code (``en``, ``eng``, ``en-US``, ``EN``) or English name.

    Raises:
        SettingError: the language is unknown. The message names similar ones.

    >>> language("en-US").name, language("German").code
    ('English', 'de')
    """
    key = str(code).strip().lower().replace("_", "-")
    found = _BY_CODE.get(key) or _BY_CODE.get(key.split("-")[0])
    if found is None:
        near = difflib.get_close_matches(key, _BY_CODE, n=3, cutoff=0.7)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise SettingError(f"The language {code!r} is not known: give an ISO 639 code such as en, de or zh.{hint}")
    return found
