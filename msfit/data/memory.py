"""How much memory there is to use: sizes in words, and what the process holds."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from msfit.errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]i?)?(?:b|bytes)?\s*", re.IGNORECASE)
# What Python with torch, numba and xarray holds where the system does not tell.
_USUAL = 450 * 2**20


def parse_size(size: int | str) -> int:
    """A number of bytes: an int, or text such as "1GiB", "800 MB" or "2g" (GB are 10^9 bytes, GiB 2^30).

    Raises
    ------
    InputError
        Something else, or less than one byte.

    Examples
    --------
    >>> parse_size("1.5GiB"), parse_size("800 MB"), parse_size(4096)
    (1610612736, 800000000, 4096)
    """
    found = _SIZE.fullmatch(str(size))
    count = int(float(found[1]) * _UNITS[(found[2] or "").lower()]) if found else 0
    if count < 1:
        raise InputError(f"memory: found {size!r}; expected a size such as 1GiB or 800MB")
    return count


def told(count: float) -> str:
    """A number of bytes in KiB, MiB or GiB, to three digits.

    Examples
    --------
    >>> told(1610612736), told(5e6)
    ('1.5 GiB', '4.77 MiB')
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def resident() -> int:
    """Bytes of memory that this process occupies now (at most so far, where the system tells no more)."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _USUAL
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
