"""`python -m biofacenet` is the command `biofacenet`."""

import sys

from biofacenet.cli import main

if __name__ == "__main__":
    sys.exit(main())
