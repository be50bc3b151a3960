"""Names of ImageNet's classes, as WordNet has them: `imagenet_classes.txt`, a synset and its words a line.

In the order of the published networks' logits. The file is of timm's `imagenet_synsets.txt` and
`imagenet_synset_to_lemma.txt` (Apache-2.0), whose words are WordNet's.
"""

import functools
import importlib.resources

from mobilenet_v2.weights.load import Imported
from mobilenet_v2.weights.sources import BY_NAME

BACKGROUND = "background"


@functools.cache
def imagenet_classes() -> tuple[str, ...]:
    """The 1000 classes' words, "tench, Tinca tinca" first; "crane" is a bird at 134 and a machine at 517."""
    text = importlib.resources.files("mobilenet_v2.serving").joinpath("imagenet_classes.txt").read_text()
    return tuple(line.split(" ", 1)[1] for line in text.splitlines())


def published_classes(num_classes: int) -> tuple[str, ...]:
    """Of a published network's classifier: ImageNet's 1000, or 1001 with the background; else none are known."""
    return {1000: imagenet_classes, 1001: lambda: (BACKGROUND, *imagenet_classes())}.get(num_classes, tuple)()


def class_names_of(imported: Imported) -> tuple[str, ...]:
    """By logit: those beside the weights, or of a published network ImageNet's; none where nobody knows."""
    published = published_classes(imported.model.num_classes) if imported.source in BY_NAME else ()
    return imported.class_names or published
