from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tardif.encoder.malloc import _glibc, kept_memory

FAULTS = """
import json, resource
import numpy as np
from tardif.encoder.malloc import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(5_000_000)  # 40 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
plain = faults()
with kept_memory():
    with kept_memory():  # as an evaluation within a training
        faults()
    kept = faults()
print(json.dumps([plain, kept, faults()]))
"""


@pytest.mark.skipif(_glibc() is None, reason="not Linux with glibc")
def test_memory_is_kept_from_step_to_step_and_given_back_after():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    plain, kept, after = json.loads(done.stdout)
    assert kept < plain / 20
    assert after > kept


def test_it_ends_with_an_error_as_without():
    with pytest.raises(KeyError), kept_memory():
        raise KeyError
