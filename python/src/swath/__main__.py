"""``python -m swath libtorch``: for shells, what Python has as functions."""

from __future__ import annotations

import argparse
import sys

from . import Error, libtorch


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m swath")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("libtorch", help="print the directory of the installed PyTorch, for SWATH_LIBTORCH")
    parser.parse_args()
    try:
        print(libtorch())
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
