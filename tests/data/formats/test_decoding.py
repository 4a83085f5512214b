"""A table's letters: what is proven is read, a clear guess is read and said, a doubt is refused with the way out."""

import json

import pytest

from tardif.data.formats import open_source
from tardif.data.formats.decoding import table_encoding
from tardif.data.formats.form import Form
from tardif.errors import DataError, SettingError

GERMAN = "Frage;Antwort\nWie ändere ich mein Passwort?;Öffnen Sie die „Einstellungen“ für 5 €.\nMüssen wir?;Größe.\n"
CLEAR = {
    "cp1252": GERMAN,
    "cp1250": "Jak zmienić hasło?;Otwórz ustawienia i wybierz „Zmień hasło”.\nIle kosztuje wysyłka?;Jest bezpłatna.\n",
    "cp1251": "Как изменить пароль?;Откройте настройки.\nСколько стоит доставка?;Бесплатно.\n",
    "cp1254": "Şifremi nasıl değiştiririm?;Ayarları açın.\nÜrünü iade edebilir miyim?;Evet, on dört gün içinde.\n",
    "shift_jis": "パスワードを変更するには？;設定を開いてください。\n送料はいくらですか？;無料です。\n",
}


@pytest.mark.parametrize("encoding", CLEAR)
def test_a_clear_guess_is_taken_and_said(tmp_path, encoding):
    path = tmp_path / "r.csv"
    path.write_bytes(CLEAR[encoding].encode(encoding))
    found = table_encoding(path)
    assert path.read_bytes().decode(found.name) == CLEAR[encoding]
    assert encoding in found.said and "--encoding" in found.said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_what_is_proven_is_read(tmp_path, encoding):
    path = tmp_path / "r.csv"
    path.write_bytes(("sep=;\r\n" + GERMAN).encode(encoding))
    source = open_source(path, columns={"query": "Frage", "positive": "Antwort"})
    assert [found.query for found in source.judgements()] == ["Wie ändere ich mein Passwort?", "Müssen wir?"]
    assert ("UTF-16" in source.shape) == encoding.startswith("utf-16")
    assert "guess" not in source.shape


@pytest.mark.parametrize("encoding", ["mac_roman", "cp850"])
def test_old_encodings_pass_for_no_other(tmp_path, encoding):
    path = tmp_path / "r.csv"
    path.write_bytes(GERMAN.replace("„", '"').replace("“", '"').replace("€", "Euro").encode(encoding))
    with pytest.raises(DataError, match=r"line 2: is not UTF-8.*--encoding cp1252.*encoding='cp1252'"):
        table_encoding(path)
    assert table_encoding(path, encoding).name == encoding


def test_a_doubt_shows_the_readings(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes("query;positive\nGröße?;XL\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"line 2: is not UTF-8.*'Größe\?' in cp1252"):
        open_source(path)
    found = open_source(path, form=Form.of(encoding="cp1252"))
    assert [item.query for item in found.judgements()] == ["Größe?"]
    assert found.shape.startswith("CSV (separated by ';', cp1252)")


def test_two_encodings_in_one_file_are_refused(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes("query,positive\nGrün,Ä\n".encode() + "Größe,für\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"line 3: is not UTF-8 \(byte 3 of the line\), and other lines are"):
        open_source(path)


def test_a_byte_that_is_none_is_refused_with_its_line(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes("query,positive\nja,für\n".encode("cp1252") + b"a,\x81b\n")
    with pytest.raises(DataError, match=r"is not cp1252 .*--encoding"):
        list(open_source(path, form=Form.of(encoding="cp1252")).judgements())


@pytest.mark.parametrize("name", ["r.jsonl", "r.json"])
def test_json_is_utf8_or_marked_or_named(tmp_path, name):
    path = tmp_path / name
    rows = [{"query": "Größe?", "positive": "XL"}]
    text = json.dumps(rows[0] if name.endswith("l") else rows, ensure_ascii=False)
    path.write_bytes(text.encode("utf-16"))
    assert [found.query for found in open_source(path).judgements()] == ["Größe?"]
    path.write_bytes(text.encode("cp1252"))
    with pytest.raises(DataError, match="is not UTF-8"):
        list(open_source(path).judgements())
    assert [found.query for found in open_source(path, form=Form.of(encoding="cp1252")).judgements()] == ["Größe?"]


@pytest.mark.parametrize("given", ["", "latin-17", "base64", "idna", 3])
def test_no_encoding_is_refused(given):
    with pytest.raises(SettingError, match="--encoding"):
        Form.of(encoding=given)
