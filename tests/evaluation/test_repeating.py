"""The command that repeats a run: a shell reads it as it was typed, and it gives no secret away."""

import shlex

import pytest

from tardif.cli.typed import remember, typed
from tardif.evaluation.repeating import command_line, python_call, without_secrets

SECRET = "s3cr3t-value"


@pytest.mark.parametrize("word", ["my data", "it's", 'a "quote"', "$HOME", "a;b", "\u202e", "ü", "", "a\nb", "*.csv"])
def test_a_shell_reads_the_words_that_were_typed(word):
    assert shlex.split(command_line(["train", word, "--name", "x"])) == ["tardif", "train", word, "--name", "x"]


def test_an_interrupted_run_is_repeated_from_its_beginning():
    remember(["train", "d", "--resume", "--seed", "3"])
    assert typed() == "tardif train d --seed 3"


@pytest.mark.parametrize(
    "word",
    [
        f"https://me:{SECRET}@host/v1",
        f"https://host/v1?api_key={SECRET}&x",
        f"https://host/v1#{SECRET}",
        f"https://{SECRET}@[bad/v1",
        f"api_key={SECRET}",
        f"api-key={SECRET}",
        f"--hub-token={SECRET}",
        f"HF_TOKEN={SECRET}",
        f"password={SECRET}",
        f"authorization=Bearer {SECRET}",
    ],
)
def test_secrets_are_hidden(word):
    assert SECRET not in without_secrets(word)
    assert SECRET not in command_line(["prepare", "--endpoint-set", word])
    assert SECRET not in python_call("f", word, endpoint={"url": word})


def test_secrets_are_hidden_in_python_calls():
    call = python_call("f", endpoint={"url": "http://h", "api_key": SECRET, "headers": {"Authorization": SECRET}})
    assert SECRET not in call
    assert "'url': 'http://h'" in call


@pytest.mark.parametrize(
    "word",
    ["model=small", "max_tokens=500", "api_key_env=MY_KEY", "query=question", "data/token=x.csv", "lr=1e-5", "-k=10"],
)
def test_what_is_no_secret_stays(word):
    assert without_secrets(word) == word


def test_long_values_are_named_by_their_type():
    rows = [("a question", "an answer")] * 1000
    assert python_call("trainer.prepare", rows, validation=0.2) == "trainer.prepare(<list of 1,000>, validation=0.2)"
    assert python_call("f", "x" * 1000) == "f(<text of 1,000 characters>)"
    assert python_call("f", object(), x={"a": [1, 2.5, None, True]}) == "f(<object>, x={'a': [1, 2.5, None, True]})"
