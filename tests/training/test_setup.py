import os
import types
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mobilenet_v2.data.pipeline import training_batches
from mobilenet_v2.data.prefetch import Prefetch
from mobilenet_v2.training import setup as setups
from mobilenet_v2.training import sharding
from mobilenet_v2.training.evaluation import evaluate_state
from mobilenet_v2.training.setup import compiler_options, make_setup


def test_each_step_is_compiled_once_the_last_batch_and_averages_included(tiny_config: ConfigDict) -> None:
    setup = make_setup(tiny_config)
    state = setup.create_state()
    batches = Prefetch(iter(training_batches(setup.splits["train"], tiny_config)), sharding.split_rows(setup.mesh))
    rng = jax.device_put(jax.random.key(0), sharding.replicated(setup.mesh))
    train_step: Any = setup.train_step
    eval_step: Any = setup.eval_step
    for _ in range(3):
        state, _ = train_step(state, next(batches), rng)
        for use in ("validation", "test"):  # 50 and 40 images in batches of 16: the last ones are filled up
            evaluate_state(eval_step, state, setup.splits[use], tiny_config, setup.mesh)
    assert train_step._cache_size() == 1
    assert eval_step._cache_size() == 1


def test_a_step_gives_its_state_away(tiny_config: ConfigDict) -> None:
    setup = make_setup(tiny_config)
    state = setup.create_state()
    batches = Prefetch(iter(training_batches(setup.splits["train"], tiny_config)), sharding.split_rows(setup.mesh))
    setup.train_step(state, next(batches), jax.random.key(0))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


WHOLE = {"xla_cpu_multi_thread_eigen": False}


@pytest.mark.parametrize("cores, devices, options", [(1, 1, {}), (2, 1, WHOLE), (2, 2, WHOLE), (8, 8, {}), (16, 1, {})])
def test_on_two_cores_of_a_cpu_no_operation_is_split(
    cores: int, devices: int, options: dict[str, Any], tiny_config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(cores), raising=False)
    mesh = Mesh(np.array(jax.devices() * devices), ("data",))
    assert compiler_options(mesh, tiny_config) == options


@pytest.mark.parametrize("platform, options", [("gpu", {"xla_gpu_deterministic_ops": True}), ("tpu", {})])
def test_a_gpu_is_told_to_repeat_itself(platform: str, options: dict[str, Any], tiny_config: ConfigDict) -> None:
    device = types.SimpleNamespace(platform=platform)
    mesh: Any = types.SimpleNamespace(devices=np.array([device]))
    assert compiler_options(mesh, tiny_config) == {}
    tiny_config.parallel.deterministic = True
    assert compiler_options(mesh, tiny_config) == options
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2  # XLA refuses an option that it does not know


@pytest.mark.parametrize(
    "mode, rows, accumulation_steps, groups",
    [
        ("global", None, 1, 1),
        ("per_device", None, 1, 4),
        ("per_device", None, 2, 4),
        ("groups", 4, 1, 4),
        ("groups", 4, 2, 2),
    ],
)
def test_batch_norm_sees_as_many_groups_as_the_config_says(
    mode: str, rows: int | None, accumulation_steps: int, groups: int, tiny_config: ConfigDict
) -> None:
    tiny_config.train.update(batch_size=16, accumulation_steps=accumulation_steps)
    tiny_config.parallel.update(batch_norm=mode, batch_norm_group=rows)
    assert setups.batch_norm_groups(tiny_config, devices=4) == groups


@pytest.mark.parametrize("formulation", ["lax", "shifted", "fused"])
def test_the_formulation_changes_no_metric(formulation: str, tiny_config: ConfigDict) -> None:
    sums = []
    for name in ("auto", formulation):
        tiny_config.model.formulation = name
        setup = setups.make_setup(tiny_config)
        batches = Prefetch(iter(training_batches(setup.splits["train"], tiny_config)), sharding.split_rows(setup.mesh))
        _, metrics = setup.train_step(setup.create_state(), next(batches), jax.random.key(0))
        sums.append(jax.device_get(metrics))
    for name in ("loss", "gradient_norm"):
        assert sums[1][name] == pytest.approx(sums[0][name], rel=1e-4)
    assert sums[1]["correct"] == sums[0]["correct"]
