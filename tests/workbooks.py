"""Workbooks as Excel writes them, as far as a reader sees them: made by hand, so that any fault can be made."""

import zipfile
from html import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_STYLES = f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'


def letters(column):
    """The name of a column from 0."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def _cell(value, place):
    """One cell: a text, a number, true or false; ``("raw", XML)`` is taken as it is."""
    if isinstance(value, tuple):
        return value[1].replace("PLACE", place)
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def error(name="#N/A"):
    """A cell that holds one of Excel's errors."""
    return "raw", f'<c r="PLACE" t="e"><f>1/0</f><v>{name}</v></c>'


def formula(result=None):
    """A cell with a formula, and its result if it was saved."""
    return "raw", f'<c r="PLACE"><f>1+1</f>{"<v></v>" if result is None else f"<v>{result}</v>"}</c>'


def day(number):
    """A cell with a date, as days since 1899-12-30."""
    return "raw", f'<c r="PLACE" s="1"><v>{number}</v></c>'


def sheet(rows, merged=()):
    """The XML of a sheet; a row of None is not there."""
    lines = [
        f'<row r="{number}">'
        + "".join(_cell(value, f"{letters(at)}{number}") for at, value in enumerate(row) if value is not None)
        + "</row>"
        for number, row in enumerate(rows, start=1)
        if row is not None
    ]
    spans = "".join(f'<mergeCell ref="{span}"/>' for span in merged)
    spans = f"<mergeCells>{spans}</mergeCells>" if spans else ""
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData>{spans}</worksheet>'


def write_workbook(path, sheets, hidden=()):
    """A workbook of sheets by name: each rows, or XML."""
    names, hides = list(sheets), ' state="hidden"'
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{at}" r:id="r{at}"{hides * (name in hidden)}/>'
        for at, name in enumerate(names, start=1)
    )
    related = "".join(
        f'<Relationship Id="r{at}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{at}.xml"/>'
        for at in range(1, len(names) + 1)
    )
    kinds = f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>'
    root = f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("[Content_Types].xml", kinds)
        package.writestr("_rels/.rels", f'<Relationships xmlns="{_PACKAGE}/relationships">{root}</Relationships>')
        package.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        )
        styles = f'<Relationship Id="s" Type="{_OFFICE}/styles" Target="styles.xml"/>'
        package.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{_PACKAGE}/relationships">{related}{styles}</Relationships>',
        )
        package.writestr("xl/styles.xml", _STYLES)
        for at, name in enumerate(names, start=1):
            rows = sheets[name]
            package.writestr(f"xl/worksheets/sheet{at}.xml", rows if isinstance(rows, str) else sheet(rows))
    return path
