"""From a config to everything a run is made of, before anything long starts."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import optax
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mobilenet_v2 import process
from mobilenet_v2.config import validate, validate_classes, validate_topology
from mobilenet_v2.data.pipeline import steps_of
from mobilenet_v2.data.resident import check_residence
from mobilenet_v2.data.sources import Dataset, open_configured
from mobilenet_v2.data.unreadable import Unreadable
from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.over_devices import BATCH_AXIS
from mobilenet_v2.training import replicas, sharding
from mobilenet_v2.training.frozen import frozen_in_network
from mobilenet_v2.training.optimizer import make_optimizer, make_schedule
from mobilenet_v2.training.run_directory import Described
from mobilenet_v2.training.state import TrainState, abstract_state, create_state
from mobilenet_v2.training.steps import Gather, eval_step, train_step
from mobilenet_v2.weights.arrays import Arrays


@dataclasses.dataclass(frozen=True)
class Setup:
    """Model, data and jitted steps of one config on one mesh.

    Attributes:
      train_step: (state, batch, rng) → (state, metrics); the state is donated.
      eval_step: (variables, batch) → metrics. Of several replicas state, variables, rng and metrics have one a replica,
        and so has a training batch where they don't share it, see `replicas`.
      splits: random-access sources by use: "train", "validation" and, where the config names one, "test".
      unreadable: by use, what names the images that can't be decoded.
      total_steps: optimizer steps of the whole run.
    """

    config: ConfigDict
    mesh: Mesh
    model: nn.Module
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    dataset: Dataset
    splits: dict[str, Any]
    unreadable: dict[str, Unreadable]
    total_steps: int
    train_step: Callable[..., Any]
    eval_step: Callable[..., Any]

    @property
    def data(self) -> Described:
        """What a run's folder keeps of its data set."""
        examples = {use: len(source) for use, source in self.splits.items()}
        return Described(self.dataset.class_names, self.dataset.builder.info.full_name, examples)

    def create_state(self, arrays: Arrays | None = None) -> TrainState:
        """A new state, on its devices; `arrays`, by path, take the place of initialised variables."""
        return create_state(self.model, self.optimizer, **state_arguments(self.config, self.mesh), arrays=arrays)

    def abstract_state(self) -> TrainState:
        """Its shapes, dtypes and shardings."""
        return abstract_state(self.model, self.optimizer, **state_arguments(self.config, self.mesh))


def make_setup(config: ConfigDict, mesh: Mesh | None = None) -> Setup:
    """Validates `config` against itself, the devices and the data set, and builds what a run needs.

    Raises:
      ConfigError, DataError: whatever is wrong with it.
    """
    validate(config)
    mesh = sharding.make_mesh(config.replicas) if mesh is None else mesh
    validate_topology(config, mesh.shape[BATCH_AXIS], jax.process_count())
    dataset = open_configured(config.data, check=functools.partial(validate_classes, config))
    splits = open_splits(config, dataset, ("train", "validation", "test"))
    check_residence(splits["train"], config)
    total_steps, steps_per_epoch = steps_of(splits["train"], config)
    schedule = make_schedule(config, total_steps, steps_per_epoch)
    optimizer = make_optimizer(config, schedule)
    model = build_model(config.model)
    train, evaluate = jit_steps(config, model, optimizer, mesh, compiler_options(mesh, config))
    return Setup(
        config,
        mesh,
        model,
        optimizer,
        schedule,
        dataset,
        splits,
        {use: Unreadable(config.data[f"{use}_split"]) for use in splits},
        total_steps,
        train_step=train,
        eval_step=evaluate,
    )


def state_arguments(config: ConfigDict, mesh: Mesh) -> dict[str, Any]:
    """What `create_state` and `abstract_state` take besides model and optimizer."""
    return {
        "seed": config.seed,
        "image_size": config.data.image_size,
        "channels": config.data.channels,
        "ema": config.optimizer.ema_decay > 0,
        "frozen": config.train.frozen,
        "replicas": config.replicas,
        "place": functools.partial(_places, mesh, parameters=config.parallel.parameters),
    }


def _places(mesh: Mesh, shapes: Callable[[], Any], parameters: str) -> Any:
    if replicas.on_mesh(mesh):
        return replicas.of_state(own=sharding.split_replicas(mesh), common=sharding.replicated(mesh))
    return sharding.of_state(mesh, shapes, parameters)


def open_splits(config: ConfigDict, dataset: Dataset, uses: tuple[str, ...]) -> dict[str, Any]:
    """The records of each use whose split the config names.

    Raises:
      DataError: if the data set has no such split.
    """
    expressions = {use: config.data[f"{use}_split"] for use in uses}
    return {use: dataset.split(text, config.data.cache) for use, text in expressions.items() if text is not None}


def jit_steps(
    config: ConfigDict,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    options: dict[str, bool | str],
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`steps.train_step` and `steps.eval_step` of this config, compiled for this mesh when they are first called."""
    everywhere = _on_each(mesh)
    arguments = state_arguments(config, mesh)
    places = arguments["place"](lambda: abstract_state(model, optimizer, **arguments))
    # n micro-batches update the running statistics n times a step; the time constant stays that of the config.
    momentum = config.model.batch_norm_momentum ** (1 / config.train.accumulation_steps)
    training_model = model.clone(
        batch_norm_momentum=momentum,
        batch_norm_groups=batch_norm_groups(config, mesh.shape[BATCH_AXIS]),
        frozen=frozen_in_network(config.train),
    )
    own = replicas.of_state(own=True, common=False)
    train = _traced(
        config,
        mesh,
        train_step,
        inputs=(own, config.replica_data == "own", True),
        outputs=(own, True),
        model=training_model,
        optimizer=optimizer,
    )
    jitted = jax.jit(
        train,
        in_shardings=(places, replicas.batch_sharding(config, mesh), everywhere),
        out_shardings=(places, everywhere),
        donate_argnums=0,
        compiler_options=options,
    )
    variables = places.variables if isinstance(places, TrainState) else places
    return jitted, jit_eval_step(config, model, mesh, options, variables)


def jit_eval_step(
    config: ConfigDict, model: nn.Module, mesh: Mesh, options: dict[str, bool | str], places: Any = None
) -> Callable[..., Any]:
    """`steps.eval_step` of this network, with the preprocessing of `config.data`; `places` are the variables'."""
    everywhere, rows = _on_each(mesh), sharding.split_rows(mesh)
    places = everywhere if places is None else places
    evaluate = _traced(config, mesh, eval_step, inputs=(True, False), outputs=True, model=model)
    return jax.jit(evaluate, in_shardings=(places, rows), out_shardings=everywhere, compiler_options=options)


def _on_each(mesh: Mesh) -> jax.sharding.NamedSharding:
    """Where keys and metrics lie: on every device; those of a replica on each of its devices."""
    return sharding.split_replicas(mesh) if replicas.on_mesh(mesh) else sharding.replicated(mesh)


def _traced(
    config: ConfigDict, mesh: Mesh, step: Callable[..., Any], *, inputs: Any, outputs: Any, **bound: Any
) -> Callable[..., Any]:
    """`step` of this config, where the network can see the mesh; for `inputs` and `outputs` see `replicas.each`."""
    bound |= {"config": config, "gather": _gather(config, mesh)}
    if not replicas.on_mesh(mesh):
        return functools.partial(within(mesh, step), **bound)
    return within(mesh, replicas.each(mesh, config.replicas, functools.partial(step, **bound), inputs, outputs))


def _gather(config: ConfigDict, mesh: Mesh) -> Gather:
    """What makes arrays whole that `config.parallel.parameters` has split."""
    return functools.partial(sharding.gathered, mesh) if config.parallel.parameters == "fsdp" else lambda tree: tree


def batch_norm_groups(config: ConfigDict, devices: int) -> int:
    """Into how many parts a micro-batch is cut for `config.parallel.batch_norm`."""
    micro_batch = config.train.batch_size // config.train.accumulation_steps
    modes = {"global": lambda: 1, "per_device": lambda: devices}
    return modes.get(config.parallel.batch_norm, lambda: micro_batch // config.parallel.batch_norm_group)()


def within(mesh: Mesh, step: Callable[..., Any]) -> Callable[..., Any]:
    """`step`, traced where the network can see which mesh its batch is split over."""

    @functools.wraps(step)
    def traced(*arguments: Any, **bound: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return step(*arguments, **bound)

    return traced


def compiler_options(mesh: Mesh, config: ConfigDict) -> dict[str, bool | str]:
    """What XLA is told about a step on this mesh.

    On two cores a CPU's step takes a third less time if no single operation is split between them: they are short, and
    XLA runs independent ones at once all the same. With more cores that is unmeasured and XLA's default stays.

    A GPU repeats itself bit for bit only if it is told to; a CPU and a TPU do so anyway.
    """
    platform = mesh.devices.flat[0].platform
    if platform == "cpu" and process.cores() == 2:
        return {"xla_cpu_multi_thread_eigen": False}
    if platform in ("gpu", "cuda", "rocm") and config.parallel.deterministic:
        return {"xla_gpu_deterministic_ops": True}
    return {}
