"""The code bases whose weights are read, one file a family."""

from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.name_map import KERAS, Source
from mobilenet_v2.weights.sources import huggingface, keras, slim, timm, torchvision

SOURCES: tuple[Source, ...] = (
    torchvision.TORCHVISION,
    torchvision.D_LI14,
    timm.TIMM,
    huggingface.HUGGINGFACE,
    keras.KERAS_V2,
    keras.KERAS_V1,
    slim.SLIM_V2,
    slim.SLIM_V1,
)
BY_NAME = {source.name: source for source in SOURCES}


def recognise(arrays: Arrays, file_format: str) -> tuple[Source, Arrays] | None:
    """The source that names arrays so, and those that are weights under its names; None if there is no such source."""
    for source in SOURCES:
        # Keras's own files alone hold layers in an order by which they can be told.
        by_name = source.layout is KERAS and file_format != "keras"
        canonical = arrays if by_name else source.canonical(arrays)
        if source.recognises(canonical):
            return source, canonical
    return None
