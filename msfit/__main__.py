"""`python -m msfit` is the command `msfit`."""

import sys

from msfit.cli import main

if __name__ == "__main__":
    sys.exit(main())
