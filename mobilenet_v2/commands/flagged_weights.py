"""The weights that a command's flags name: `--weights`, `--revision`, `--offline`, `--replica`."""

from collections.abc import Callable

from absl import flags as absl_flags

from mobilenet_v2 import command_line
from mobilenet_v2.config_fields import MOST_REPLICAS
from mobilenet_v2.training.trained import import_weights
from mobilenet_v2.weights.load import Imported


def import_flagged(flags: absl_flags.FlagValues, report: Callable[[str], None]) -> Imported:
    """What `trained.import_weights` reads.

    Raises:
      UserError: as that, and for a replica that is no number.
    """
    return import_weights(
        flags.weights,
        revision=flags.revision,
        offline=flags.offline,
        replica=command_line.integer("replica", flags.replica, MOST_REPLICAS - 1, least=0),
        report=report,
    )
