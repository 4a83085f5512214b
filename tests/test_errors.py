import pytest

from tardif import errors
from tardif.errors import DataError, TardifError


@pytest.mark.parametrize("kind", ["Setting", "Data", "Model", "Folder", "Service", "Training"])
def test_every_error_can_be_caught_as_ours(kind):
    assert issubclass(getattr(errors, f"{kind}Error"), TardifError)


@pytest.mark.parametrize(
    ("path", "line", "message"),
    [
        (None, None, "is empty."),
        ("pairs.csv", None, "pairs.csv: is empty."),
        ("pairs.csv", 3, "pairs.csv, line 3: is empty."),
    ],
)
def test_data_error_says_where(path, line, message):
    error = DataError("is empty.", path, line)
    assert str(error) == message
    assert (error.path, error.line) == (path, line)
