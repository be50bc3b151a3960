import pytest

from mobilenet_v2 import errors
from mobilenet_v2.errors import UserError, nearest


@pytest.mark.parametrize(
    "name, closest",
    [
        ("bach_size", "batch_size"),
        ("train.bach_size", "train.batch_size"),
        ("Batch_Size", "batch_size"),
        ("optimizer.log_every", "train.log_every"),
        ("batch", "batch_size"),
        ("train.size", "train.batch_size"),
        ("every", "train.log_every"),
    ],
)
def test_the_closest_known_name_is_proposed(name: str, closest: str) -> None:
    known = ["seed", "batch_size", "train.batch_size", "train.log_every"]
    assert nearest(name, known) == f"; did you mean {closest!r}?"


def test_a_name_of_the_same_section_is_proposed_first() -> None:
    assert nearest("data.nme", ["model.name", "data.name"]) == "; did you mean 'data.name'?"


def test_a_name_with_a_dot_that_parts_no_section_is_compared_as_a_whole() -> None:
    assert nearest("timm/net_100.ra_in1k", ["timm/net_100", "keras/net"]) == "; did you mean 'timm/net_100'?"


def test_the_same_section_alone_is_not_close() -> None:
    assert nearest("model.kernel_size", ["model.stem_stride", "model.dropout_rate"]) == ""


@pytest.mark.parametrize("known", [[], ["seed"]])
def test_nothing_is_proposed_where_nothing_is_close(known: list[str]) -> None:
    assert nearest("bach_size", known) == ""


def test_any_iterable_of_names_will_do() -> None:
    assert nearest("seeds", {"seed": 0}) == nearest("seeds", iter(["seed"])) == "; did you mean 'seed'?"


@pytest.mark.parametrize(
    "name", ["ConfigError", "DataError", "WorkdirError", "CheckpointError", "DivergenceError", "WeightsError"]
)
def test_every_error_that_a_user_can_mend_is_a_user_error(name: str) -> None:
    assert issubclass(getattr(errors, name), UserError)
