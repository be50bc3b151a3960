"""Trains a network: `python train.py --config=configs/digits.py --workdir=runs/digits`.

Any field of the config is overridden as `--config.train.batch_size=64`. Started again with the same flags, it goes
on from its newest checkpoint.

Under Slurm, Open MPI, Kubernetes and on TPU pods each task of a job runs the same command, and they find each other;
`--distributed` asks for that where it does not show. By hand: `--coordinator=HOST:PORT --num_processes=N
--process_id=I`. They wait `config.parallel.join_seconds` for each other.

`--profile_steps=10:14` writes a trace of these steps below WORKDIR/tensorboard/plugins/profile: `pip install xprof`,
then `xprof --logdir=WORKDIR/tensorboard`; the file in it that ends in trace.json.gz opens in https://ui.perfetto.dev.
"""

from collections.abc import Sequence

from mobilenet_v2 import command_line
from mobilenet_v2.config import validate
from mobilenet_v2.training import cluster, loop, processes, trace


def main(argv: Sequence[str]) -> None:
    """Flags in, a finished run directory out."""
    flags = command_line.parse(
        argv,
        __doc__ or "",
        required=["config", "workdir"],
        optional=["coordinator", "num_processes", "process_id", "profile_steps"],
        switches=["distributed"],
    )
    validate(flags.config)
    place = cluster.find_place(flags.coordinator, flags.num_processes, flags.process_id, flags.distributed)
    profile_steps = trace.parse_steps(flags.profile_steps)
    with processes.joined(place, flags.config.parallel):
        loop.run(flags.config, flags.workdir, profile_steps)
