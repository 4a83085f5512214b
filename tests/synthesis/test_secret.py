import base64
import html
import json
from urllib.parse import quote

import pytest

from chat_server import KEY
from tardif.errors import SettingError
from tardif.synthesis.secret import Secret

ODD = 'k&y="/+%41<é' + "abcdefghijkl"
FORMS = {
    "plain": lambda key: key,
    "upper": str.upper,
    "beginning": lambda key: key[:9],
    "end": lambda key: key[-9:],
    "middle": lambda key: key[3:12],
    "twice": lambda key: key + key,
    "URL": lambda key: quote(key, safe=""),
    "every byte in a URL": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "header in base64": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "base64 at 0": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 at 2": lambda key: base64.b64encode(b"::" + key.encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(b"Basic " + key.encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
    "JSON": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "JSON in part": json.dumps,
    "HTML": html.escape,
    "HTML numbers": lambda key: "".join(f"&#{ord(c)};" for c in key),
}


@pytest.fixture(params=[KEY, ODD.replace("é", "")], ids=["usual", "odd"])
def key(request, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", request.param)
    return request.param


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_no_form_of_the_key_goes_through(key, form):
    secret = Secret("OPENAI_API_KEY")
    text = f"You sent {form(key)}, which is wrong"
    assert secret.is_in(text)
    shown = secret.hide(text)
    assert shown.startswith("You sent ") and shown.endswith(", which is wrong")
    assert "***" in shown
    assert not secret.is_in(shown)
    assert len(shown) < len("You sent , which is wrong") + 20


def test_other_text_is_left_as_it_is(key):
    secret = Secret("OPENAI_API_KEY")
    text = "who built 100% of the harbour &amp; its \\u0041 walls? sk-very"
    assert not secret.is_in(text)
    assert secret.hide(text) == text


@pytest.mark.parametrize("key", ["", "EMPTY", "ollama"])
def test_a_key_too_short_to_be_one_forbids_no_word(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    secret = Secret("OPENAI_API_KEY")
    assert not secret.is_in("what is ollama, and why is the list EMPTY?")
    assert secret.hide(f"bad key {key}!") == ("bad key ***!" if key else "bad key !")


def test_a_secret_shows_its_name_alone(key):
    secret = Secret("OPENAI_API_KEY")
    assert repr(secret) == "Secret('OPENAI_API_KEY')"
    assert secret.header == {"Authorization": f"Bearer {key}"}
    assert not Secret("").header


def test_a_key_that_looks_like_a_name_is_not_shown():
    with pytest.raises(SettingError, match="not set") as error:
        Secret("gsk_abcdefgh12345678", may_lack=False)
    assert "gsk" not in str(error.value)
    assert not Secret("", may_lack=False)


def test_no_text_is_too_odd_to_search(key):
    secret = Secret("OPENAI_API_KEY")
    for text in ("&#" + "9" * 5000 + ";", "\\ud800%ff%", "\ud800", "&#xd800;", "%" * 9):
        assert not secret.is_in(text)
        assert "***" in secret.hide(f"{text} {key}")


@pytest.mark.parametrize("name", ["sk-proj-abcdefgh", "A B", "$KEY", 7, None])
def test_a_key_given_for_its_name_is_refused_and_not_shown(name):
    with pytest.raises(SettingError, match="give the name") as error:
        Secret(name)
    assert str(name) not in str(error.value).replace("None", "")
