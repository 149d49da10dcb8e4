"""Which source builds which collection: one small function for each name of conf/data."""

from collections.abc import Callable
from pathlib import Path

from hybrid_sweep.config import DataConfig, SyntheticData
from hybrid_sweep.data.collection import Collection

Say = Callable[[str], None]


def _synthetic(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data import synthetic

    assert isinstance(data, SyntheticData)
    return synthetic.build(
        groups=data.groups, concepts=data.concepts, shared=data.shared, noise=data.noise, seed=data.seed
    )


def _debian(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data import debian, debian_text

    return debian.build(list(debian_text.LANGUAGES), mirror=data.mirror, work=work, progress=say)


# (what the config says, a private folder to work in, where to report progress) -> all languages of the collection
BUILDERS: dict[str, Callable[[DataConfig, Path, Say], Collection]] = {"debian": _debian, "synthetic": _synthetic}
