"""Trains a network: `python train.py --config=configs/digits.py --workdir=runs/digits`.

Any field of the config is overridden as `--config.train.batch_size=64`. Started again with the same flags, it goes
on from its newest checkpoint.
"""

import sys

from mobilenet_v2 import process


def main(argv: list[str]) -> None:
    """Flags in, a finished run directory out."""
    from mobilenet_v2 import command_line

    flags = command_line.parse(argv, __doc__, required=["config", "workdir"])
    from mobilenet_v2.training import loop

    loop.run(flags.config, flags.workdir)


if __name__ == "__mp_main__":
    process.be_a_data_worker()

if __name__ == "__main__":
    process.restart_on_fast_malloc()
    sys.exit(process.execute(main, sys.argv))
