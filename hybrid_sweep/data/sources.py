"""Which source builds which collection: one small function for each name of conf/data."""

from collections.abc import Callable
from pathlib import Path

from hybrid_sweep.config import DataConfig, MarcoData, SyntheticData
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.errors import UserError

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


def _lareqa(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data import lareqa

    if not data.path:
        raise UserError(f"data={data.name} is read from files: {lareqa.FETCH} and give data.path=FOLDER")
    return lareqa.build(Path(data.path).expanduser(), data.name, context=data.name.endswith("_context"))


def _marco(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data import msmarco

    assert isinstance(data, MarcoData)
    return msmarco.build(data, say, work.parent)


# (what the config says, a private folder to work in, where to report progress) -> all languages of the collection;
# of MS MARCO, which has a file of gigabytes for each, those of data.languages
BUILDERS: dict[str, Callable[[DataConfig, Path, Say], Collection]] = {
    "debian": _debian,
    "synthetic": _synthetic,
    "xquad_r": _lareqa,
    "xquad_r_context": _lareqa,
    "mlqa_r": _lareqa,
    "mlqa_r_context": _lareqa,
    "mmarco": _marco,
    "msmarco": _marco,
}
