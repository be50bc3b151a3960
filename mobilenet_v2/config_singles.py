"""The runs that a config has side by side. Imports no JAX: processes that read data do without."""

from ml_collections import ConfigDict


def singles(config: ConfigDict) -> list[ConfigDict]:
    """The configs of the runs that `config` has side by side: seeds seed, seed + 1, …, a replica each."""
    found = []
    for replica in range(config.replicas):
        single = config.copy_and_resolve_references()
        single.update(seed=config.seed + replica, replicas=1)
        found.append(single)
    return found
