import pytest

from configs import default, digits
from mobilenet_v2.config_fields import FIELDS
from mobilenet_v2.models.build import NETWORKS, attributes_of, build_model
from mobilenet_v2.models.mobilenet_v1 import MobileNetV1, SeparableStage
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2


def test_the_default_config_is_the_papers_network_as_slim_trains_it() -> None:
    assert build_model(default.get_config().model) == MobileNetV2(
        padding="same", batch_norm_epsilon=1e-3, batch_norm_momentum=0.997, initialization="slim"
    )


def test_a_network_is_chosen_by_name_and_given_the_fields_that_it_has() -> None:
    config = digits.get_config()
    config.model.name = "mobilenet_v1"
    model = build_model(config.model)
    assert isinstance(model, MobileNetV1)
    assert model.width_multiplier == 0.5
    assert model.separable_stages[-1] == SeparableStage(1024, 2, 1)


def test_every_field_of_a_network_is_one_of_the_config_but_folding_freezing_and_grouping() -> None:
    fields = {name.removeprefix("model.") for name in FIELDS if name.startswith("model.")}
    assert set.union(*(attributes_of(network) for network in NETWORKS.values())) - fields == {
        "batch_norm",
        "batch_norm_groups",
        "frozen",
    }
    assert fields - set.union(*(attributes_of(network) for network in NETWORKS.values())) == {"name"}


@pytest.mark.parametrize(
    "fields, says", [({"name": "resnet"}, "'resnet'"), ({"widht": 1}, "no network has a field 'widht'")]
)
def test_an_unknown_network_or_field_is_refused_by_name(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        build_model(fields)
