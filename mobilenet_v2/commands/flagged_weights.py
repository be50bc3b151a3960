"""The weights that a command's flags name: `--weights`, `--revision`, `--offline`, `--replica`, `--image_size`."""

from collections.abc import Callable
from typing import Any

from absl import flags as absl_flags

from mobilenet_v2 import command_line
from mobilenet_v2.config_fields import MOST_REPLICAS
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.serving.pretrained import load_pretrained
from mobilenet_v2.training.trained import import_weights
from mobilenet_v2.weights.load import Imported, Variables


def import_flagged(flags: absl_flags.FlagValues, report: Callable[[str], None]) -> Imported:
    """What `trained.import_weights` reads.

    Raises:
      UserError: as that, and for a replica that is no number.
    """
    return import_weights(
        flags.weights,
        revision=flags.revision,
        offline=flags.offline,
        replica=_replica(flags),
        report=report,
    )


def load_classifier(flags: absl_flags.FlagValues, report: Callable[[str], None]) -> tuple[Any, Variables]:
    """What `load_pretrained` returns of a network that can predict.

    Raises:
      UserError: as that, for a number that is none, and for a network that only has features.
    """
    model, variables = load_pretrained(
        flags.weights,
        image_size=command_line.integer("image_size", flags.image_size, command_line.MOST_PIXELS),
        revision=flags.revision,
        offline=flags.offline,
        replica=_replica(flags),
        report=report,
    )
    if not model.num_classes:
        raise ConfigError(f"--weights is {flags.weights!r}, whose network has no classifier, must have one")
    return model, variables


def _replica(flags: absl_flags.FlagValues) -> int | None:
    return command_line.integer("replica", flags.replica, MOST_REPLICAS - 1, least=0)
