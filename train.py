"""Trains a network: `python train.py --config=configs/digits.py --workdir=runs/digits`; `--help` tells the rest."""

import sys

from mobilenet_v2 import process


def main(argv: list[str]) -> None:
    """Flags in, a finished run directory out."""
    from mobilenet_v2.commands import train

    train.main(argv)


if __name__ == "__mp_main__":
    process.be_a_data_worker()

if __name__ == "__main__":
    process.restart_on_fast_malloc()
    sys.exit(process.execute(main, sys.argv))
