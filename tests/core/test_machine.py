"""Memory that the process keeps for its next arrays."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from microtome.core.machine import keep_freed_memory, return_memory

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(size, np.uint8)[::4096] = 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    assert keep_freed_memory()
size = 48 * 2**20
first, second = faults(size), faults(size)
return_memory()
print(first, second, faults(size))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_pages_of_freed_arrays_are_used_again_until_they_are_returned() -> None:
    def pages(mode: str) -> list[int]:
        out = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
        return [int(x) for x in out.stdout.split()]

    first, second, after = pages("keep")
    assert second < first / 10
    assert after > first / 2
    plain = pages("leave")
    assert plain[1] > plain[0] / 2, "without it every array costs its pages anew"
