"""Published weights on a data set: the source's own preprocessing, the network's own constants, every example once."""

from typing import Any

from ml_collections import ConfigDict

from mobilenet_v2.config import check_fields, validate_topology
from mobilenet_v2.config_rules import check_data
from mobilenet_v2.data.sources import open_configured
from mobilenet_v2.errors import ConfigError, WeightsError
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.training import metrics, sharding
from mobilenet_v2.training.evaluation import evaluate_split
from mobilenet_v2.training.setup import compiler_options, jit_eval_step, open_splits
from mobilenet_v2.weights.load import Imported, class_count, with_classes, without_first_class
from mobilenet_v2.weights.preprocessing import at_size


def evaluate_imported(
    name: str, imported: Imported, config: ConfigDict, image_size: int | None = None, report: Any = print
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Loss and accuracy on the splits of `config.data` that are not trained on, and their examples, by use.

    The network is the weights', and so is the preprocessing if they say it: size, resize and crop, mean, deviation.
    What else is in `config.data` and the batch size are the config's. Of classes that are one more than the data set's,
    the first is taken for the background and left out.

    Args:
      image_size: pixels, where it shall not be the source's usual one.

    Raises:
      ConfigError, DataError, WeightsError: if config, data set or weights don't go together.
    """
    config = preprocessed(config, imported.preprocessing, image_size)
    check_fields(config)
    check_data(config)
    classes = class_count(imported.arrays)
    if classes is None:
        raise WeightsError(f"weights {name!r} have no classifier, must have one to be scored")
    mesh = sharding.make_mesh()
    dataset = open_configured(config.data)
    validate_topology(config, mesh.size, 1)
    if classes not in (dataset.num_classes, dataset.num_classes + 1):
        raise ConfigError(
            f"config.data.name is {config.data.name!r} with {dataset.num_classes} classes, must have the {classes} "
            f"classes of {name}"
        )
    if classes > dataset.num_classes:
        imported = _without_background(imported, report)
    found = with_classes(name, imported, None, report=report)
    step = jit_eval_step(config, found.model, mesh, compiler_options(mesh, config))
    splits = open_splits(config, dataset, ("validation", "test"))
    scores = {
        use: metrics.averages(metrics.means(evaluate_split(step, found.variables, source, config, mesh)))
        for use, source in splits.items()
    }
    return scores, {use: len(source) for use, source in splits.items()}


def preprocessed(config: ConfigDict, preprocessing: Preprocessing | None, image_size: int | None) -> ConfigDict:
    """A copy of `config` whose images are made ready so, at `image_size` pixels where that is given."""
    config = config.copy_and_resolve_references()
    config.train.accumulation_steps = 1
    if preprocessing is None:
        if image_size is not None:
            config.data.image_size = image_size
        return config
    stated = preprocessing if image_size is None else at_size(preprocessing, image_size)
    config.data.channels = len(stated.mean)
    config.data.update(stated.data_fields())
    return config


def _without_background(imported: Imported, report: Any) -> Imported:
    report("of the weights' classes the first, the background, is left out")
    model = imported.model.clone(num_classes=imported.model.num_classes - 1)
    return imported._replace(model=model, arrays={**imported.arrays, **without_first_class(imported.arrays)})
