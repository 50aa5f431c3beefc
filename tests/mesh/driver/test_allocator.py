"""What is freed goes back to the system when that is asked for."""

import platform
from pathlib import Path

import pytest

from hubless.driver.allocator import give_back

MIB = 1024 * 1024


def resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be asked")
def test_freed_memory_below_what_is_in_use_goes_back():
    freed = [bytes(1_000) for _ in range(96 * 1_024)]
    in_use = [bytes(1_000) for _ in range(1_024)]
    freed.clear()
    before = resident_bytes()
    assert give_back()
    assert resident_bytes() < before - 64 * MIB
    assert len(in_use) == 1_024
