"""python -m benchmarks.table1: see `--help`."""

from __future__ import annotations

import sys

from benchmarks.table1.command import main

if __name__ == "__main__":
    sys.exit(main())
