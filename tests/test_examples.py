"""Every example runs: the doctests of the modules, the Python of README and docs, and their command lines parse.

Examples run offline in a folder of their own that holds ``pairs.jsonl``, ``articles/``, ``models/support`` (a tiny
trained checkpoint) and ``support.index`` (ids ``article-1`` to ``article-20``; metadata ``lang`` and ``year``). The
application that ``tardif serve support.index`` runs answers in this process what is sent to ``http://127.0.0.1:8000``.
"""

import doctest
import importlib
import json
import pkgutil
import re
import shlex
import shutil
import traceback
from pathlib import Path

import pytest
import typer

import tardif
from tardif import cli

SOURCE = Path(tardif.__file__).parent
ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*\Z")
INLINE = re.compile(r"`(tardif [^`]+)`")
for part in cli._PARTS:  # the verbs register themselves
    importlib.import_module(f"tardif.cli.{part}")
VERBS = typer.main.get_command(cli.app)
UsageError = typer.BadParameter.__base__

SUBJECTS = (
    *("password", "invoice", "parcel", "refund", "voucher", "address", "account", "newsletter", "size", "warranty"),
    *("repair", "battery", "cable", "manual", "payment", "receipt", "delivery", "return", "order", "basket"),
)


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """A folder with the pairs and the articles."""
    folder = tmp_path_factory.mktemp("examples") / "texts"
    (folder / "articles").mkdir(parents=True)
    rows = []
    for number, subject in enumerate(SUBJECTS, 1):
        text = f"To change the {subject}, open your account and press the button for it on page {number}."
        (folder / "articles" / f"article-{number}.md").write_text(f"# About the {subject}\n\n{text}\n")
        rows.append(json.dumps({"query": f"how do I change my {subject}?", "positive": text}))
    (folder / "pairs.jsonl").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def trained(texts, base_folder, tmp_path_factory):
    """The same with a model and an index."""
    folder = tmp_path_factory.mktemp("examples") / "trained"
    shutil.copytree(texts, folder)
    trainer = tardif.Trainer("support", str(base_folder("bert")), out=folder / "models", dim=16, quiet=True)
    trainer.prepare(folder / "pairs.jsonl", validation=0)
    model = trainer.train(epochs=1, batch_size=8).path
    documents = [
        tardif.Document(
            f"article-{number}",
            (folder / "articles" / f"article-{number}.md").read_text(),
            metadata={"lang": "en" if number % 2 else "fr", "year": 2014 + number},
        )
        for number in range(1, len(SUBJECTS) + 1)
    ]
    tardif.Retriever.build(model, documents, folder / "support.index", hybrid=True, quiet=True).close()
    return folder


@pytest.fixture
def service(tmp_path, monkeypatch):
    """Call it to have what is sent to the address of the documentation answered."""
    services = []

    def begin():
        from service_here import ServiceHere, answer_clients

        def opened():
            services.append(ServiceHere({"support.index": tmp_path / "here" / "support.index"}))
            return services[-1]

        answer_clients(monkeypatch, opened)

    yield begin
    for each in services:
        each.close()


@pytest.fixture
def here(request, service, tmp_path, monkeypatch):
    """Go to an own copy of that folder: ``here(code)``, with the model and the index only if the code opens them."""

    def go(code):
        asks = "http://127.0.0.1:8000" in code
        opens = re.search(r"""(?<!, )["'](models/support|support\.index)["']""", code)  # not as a place to write to
        shutil.copytree(request.getfixturevalue("trained" if opens or asks else "texts"), tmp_path / "here")
        monkeypatch.chdir(tmp_path / "here")
        if asks:
            service()

    return go


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name, here):
    module = importlib.import_module(name)
    here(Path(module.__file__).read_text(encoding="utf-8"))
    told = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    for test in doctest.DocTestFinder().find(module, name):
        if test.examples:  # to run none takes as long as many examples do
            runner.run(test, out=told.append)
    assert not runner.summarize(verbose=False).failed, "".join(told)


def blocks(page):
    """The Python blocks of a page that may run: the line of the first line of each, and its text."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if found[1] in ("python", "pycon") and not NOT_RUN.search(text[: found.start()]):
            yield text.count("\n", 0, found.start()) + 2, found[2]


def run_page(page):
    """Run a page's Python in one namespace; a failure names page and line."""
    values = {"__name__": "__main__"}
    for first, code in blocks(page):
        if code.startswith(">>> "):
            run_doctest(code, values, page, first)
            continue
        try:
            exec(compile("\n" * (first - 1) + code, str(page), "exec"), values)
        except SyntaxError as error:
            pytest.fail(f"{page.name}, line {error.lineno}: {error}", pytrace=False)
        except Exception as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)]
            pytest.fail(f"{page.name}, line {lines[-1]}: {type(error).__name__}: {error}", pytrace=False)


def run_doctest(code, values, page, first):
    """Run a block with prompts and outputs."""
    told = []
    test = doctest.DocTestParser().get_doctest(code, values, page.stem, page.name, first - 1)
    doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(test, out=told.append, clear_globs=False)
    if told:
        pytest.fail(re.sub(r'File "(.+)", line (\d+).*', r"\1, line \2", "".join(told)), pytrace=False)


def page_with_python(page):
    real_base = "tardif.Trainer(" in page.read_text(encoding="utf-8")
    return pytest.param(page, id=page.name, marks=[pytest.mark.slow] if real_base else [])


@pytest.mark.parametrize("page", [page_with_python(page) for page in PAGES if any(blocks(page))])
def test_python_of_a_page(page, here):
    here("".join(code for _, code in blocks(page)))
    run_page(page)


def commands(page):
    """The command lines on a page: the line of each, its words, and whether it must be complete."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        first = text.count("\n", 0, found.start()) + 2
        for number, line in enumerate(found[2].split("\n")):
            joined, after = line, number + 1
            while joined.endswith("\\"):
                joined, after = f"{joined[:-1]} {found[2].split(chr(10))[after]}", after + 1
            if found[1] in ("", "sh", "console") and re.match(r"(\$ )?tardif [a-z-]", joined):
                for part in re.split(r";\s+(?=tardif )", joined.removeprefix("$ ")):
                    yield first + number, shlex.split(part, comments=True)[1:], True
    for found in INLINE.finditer(FENCE.sub(lambda fence: re.sub(r"[^\n]", "", fence[0]), text)):
        yield text.count("\n", 0, found.start()) + 1, found[1].split()[1:], False


def check_command(words, complete):
    """Raise a usage error where a command line does not parse; of an incomplete one only what is there counts."""
    if words[0].startswith("-") or words[0].isupper():  # `tardif --help`, `tardif VERB --help`
        return
    with typer.Context(VERBS) as parent:
        _, verb, rest = VERBS.resolve_command(parent, words)
        rest = [word for word in rest if word not in ("...", "--help")]
        if complete and "..." not in words:
            verb.make_context(verb.name, rest, parent=parent)
            return
        known = {name for option in verb.params for name in (*option.opts, *option.secondary_opts)}
        for word in rest:
            name = word.rstrip(".,").partition("=")[0]
            if re.match(r"--?[a-z]", name) and name not in known:
                raise typer.BadParameter(f"No such option: {name}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_of_a_page(page):
    wrong = []
    for line, words, complete in commands(page):
        try:
            check_command(words, complete)
        except UsageError as error:
            wrong.append(f"{page.name}, line {line}: tardif {' '.join(words)}: {error.format_message()}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_on_a_page_exist(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    known = {name for verb in VERBS.commands.values() for option in verb.params for name in option.opts}
    known |= {name for verb in VERBS.commands.values() for option in verb.params for name in option.secondary_opts}
    spans = re.findall(r"`([^`\n]+)`", text)
    options = {name for span in spans for name in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)} - {"--help"}
    assert sorted(options - known) == []
    for name in {found[0] for span in spans if (found := re.match(r"tardif(\.\w+)+", span))}:
        pkgutil.resolve_name(name)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    wrong = []
    for found in re.finditer(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        target = (page.parent / found[1]).resolve() if found[1] else page
        if not target.exists() or (found[2] and found[2] not in anchors(target)):
            wrong.append(f"{page.name}, line {text.count(chr(10), 0, found.start()) + 1}: {found[0]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text, said",
    [
        (
            "# A\n\n```python\nx = 1\n```\n\n```python\nx += 1\n\nassert x == 3\n```\n",
            "page.md, line 10: AssertionError",
        ),
        ("# A\n\n```python\nx = = 1\n```\n", "page.md, line 4: invalid syntax"),
        ("# A\n\n```pycon\n>>> y = 2\n>>> y\n3\n```\n", "page.md, line 5"),
    ],
)
def test_a_broken_example_is_found_with_its_line(tmp_path, text, said):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(pytest.fail.Exception, match=re.escape(said)):
        run_page(page)
    page.write_text(text.replace("```py", "<!-- not run: broken on purpose -->\n```py"))
    run_page(page)


@pytest.mark.parametrize(
    "text, said",
    [
        ("```\ntardif serach INDEX query\n```\n", "No such command"),
        ("```\ntardif search INDEX query --no-such\n```\n", "No such option"),
        ("```\n$ tardif index models/support articles/ \\\n    --recall 1\n```\n", "No such option"),
        ("```\ntardif index models/support articles/\n```\n", "Missing option '--out'"),
        ("Write `tardif search --no-such`.\n", "No such option"),
    ],
)
def test_a_broken_command_line_is_found(tmp_path, text, said):
    (tmp_path / "page.md").write_text(text)
    ((_, words, complete),) = commands(tmp_path / "page.md")
    with pytest.raises(UsageError) as error:
        check_command(words, complete)
    assert said in error.value.format_message()
