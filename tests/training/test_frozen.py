import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.training import checkpoint, loop
from mobilenet_v2.training.frozen import trained
from mobilenet_v2.training.setup import make_setup
from mobilenet_v2.weights.load import load_pretrained
from tests.training.test_steps import RNG, assert_close, batch, first_state, optimizer_of, step_of, tiny
from tests.training.test_warm_start import by_path, quiet, write_weights


def paths_that_changed(after: Any, before: Any) -> set[str]:
    changed = jax.tree.map(lambda a, b: np.asarray(a).tobytes() != np.asarray(b).tobytes(), after, before)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/") for path, c in jax.tree.leaves_with_path(changed) if c
    }


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_with_the_backbone_frozen_a_step_moves_the_classifier_alone(accumulation_steps: int) -> None:
    classifier = trained(first_state().params, "backbone")
    start = first_state().replace(opt_state=optimizer_of(tiny()).init(classifier))
    step = step_of(accumulation_steps, frozen="backbone")
    state, sums = step(step(start, batch(), RNG)[0], batch(1), RNG)
    expected = {"params/classifier/bias", "params/classifier/kernel"}
    assert paths_that_changed(state.variables, start.variables) == expected
    assert paths_that_changed(state.ema_variables, start.ema_variables) == expected
    assert 0 < sums["gradient_norm"] < np.inf
    _, other_key = step(start.replace(step=state.step - 1), batch(1), jax.random.key(8))
    assert other_key["loss"] != sums["loss"], "dropout does not drop"


def test_the_classifier_s_gradient_does_not_depend_on_who_else_has_one() -> None:
    classifier = trained(first_state().params, "backbone")
    start = first_state().replace(opt_state=optimizer_of(tiny()).init(classifier))
    alone, _ = step_of(frozen="backbone")(start, batch(), RNG)
    together, _ = step_of(frozen_batch_norm=True)(first_state(), batch(), RNG)
    assert_close(alone.params["classifier"], together.params["classifier"])


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_with_batch_norm_frozen_every_parameter_trains_and_no_statistic_moves(accumulation_steps: int) -> None:
    start = first_state()
    state, _ = step_of(accumulation_steps, frozen_batch_norm=True)(start, batch(), RNG)
    assert paths_that_changed(state.batch_stats, start.batch_stats) == set()
    assert paths_that_changed(state.ema_batch_stats, start.ema_batch_stats) == set()
    assert len(paths_that_changed(state.params, start.params)) == len(jax.tree.leaves(start.params))


def test_with_the_backbone_frozen_all_but_the_classifier_stays_the_file_s_bit_for_bit(
    tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    tiny_config.init_from = write_weights(tmp_path / "file.safetensors", tiny_config)
    tiny_config.train.update(frozen="backbone", num_steps=4)
    tiny_config.optimizer.update(weight_decay=0.5, weight_decay_mask="all")
    loop.run(tiny_config, str(tmp_path / "run"))
    setup = make_setup(tiny_config)
    manager = checkpoint.open_reader(tmp_path / "run" / "checkpoints")
    trained = checkpoint.restore_latest(manager, setup.abstract_state(), read_only=True)
    manager.close()
    assert trained is not None
    file = by_path(load_pretrained(tmp_path / "file.safetensors", report=quiet)[1])
    for variables in (trained.state.variables, trained.state.ema_variables):
        changed = {name for name, array in by_path(variables).items() if array.tobytes() != file[name].tobytes()}
        assert changed == {"params/classifier/kernel", "params/classifier/bias"}


def test_what_is_frozen_has_no_slots_in_the_optimizer(tiny_config: ConfigDict) -> None:
    tiny_config.train.frozen = "backbone"
    state = make_setup(tiny_config).abstract_state()
    shapes = {leaf.shape for leaf in jax.tree.leaves(state.opt_state)}
    assert shapes == {(), (32, 10), (10,)}
