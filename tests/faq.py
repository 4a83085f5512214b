"""A table as people have them: a hundred questions of a German shop, as Excel writes them on Windows."""

import random

THINGS = ["Rechnung", "Bestellung", "Lieferung", "Rücksendung", "Gutschein", "Kundenkonto", "Newsletter", "Garantie"]
THINGS += ["Zahlungsart", "Lieferadresse", "Passwort", "Größentabelle", "Ersatzteil", "Reparatur", "Geschenkverpackung"]
ASKED = [
    ("Wie ändere ich {}?", "Öffnen Sie »Mein Konto« und wählen Sie {}; dort steht »Ändern«."),
    ("Was kostet {}?", "Für {} berechnen wir 3,50 €, ab 50 € Warenwert nichts."),
    ("Wo finde ich {}?", "Sie finden {} unter »Übersicht«, ganz oben rechts."),
    ("Wie lange dauert {}?", "In der Regel dauert {} zwei bis drei Werktage; über Feiertage länger."),
    ("Kann ich {} stornieren?", "Ja, {} können Sie binnen 14 Tagen kündigen, formlos per E-Mail."),
    ("Wer hilft mir bei {}?", "Unser Team für {} erreichen Sie montags bis freitags &amp; samstags."),
    ("Warum fehlt {}?", "Häufig liegt {} noch bei der Prüfung.<br>Bitte laden Sie die Seite neu."),
]


def rows(count=100, seed=0):
    """Question, answer and category of each row; a few questions come twice."""
    pairs = [
        (question.format(f"die {thing}"), answer.format(f"die {thing}"), thing)
        for thing in THINGS
        for question, answer in ASKED
    ]
    random.Random(seed).shuffle(pairs)
    chosen = pairs[: count - 4]
    return [*chosen, *chosen[:3], (chosen[5][0].upper(), chosen[6][1], chosen[6][2])]


def dirty_csv(count=100, seed=0):
    """The file's bytes: ``sep=;``, cp1252, cells in quotes where they must be, blank rows and columns."""

    def cell(text):
        return '"' + text.replace('"', '""') + '"' if set(text) & set(';"\n') else text

    lines = ["sep=;", "Frage;Antwort;Kategorie;;"]
    for number, row in enumerate(rows(count, seed), start=1):
        lines.append(";".join(map(cell, row)) + ";;")
        if number % 30 == 0:
            lines.append(";;;;")
    return ("\r\n".join([*lines, ";;;;", ""])).encode("cp1252")
