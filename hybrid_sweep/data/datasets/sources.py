"""Which source builds which collection: one small function for each name of conf/data."""

from collections.abc import Callable
from pathlib import Path

from hybrid_sweep.config.schema import (
    DataConfig,
    FilesData,
    HfData,
    IrDatasetsData,
    LareqaData,
    MarcoData,
    MiraclData,
    SyntheticData,
)
from hybrid_sweep.data.collection import Collection, check_known

Say = Callable[[str], None]


def _synthetic(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets import synthetic

    assert isinstance(data, SyntheticData)
    return synthetic.build(
        groups=data.groups,
        concepts=data.concepts,
        shared=data.shared,
        noise=data.noise,
        seed=data.seed,
    )


def _debian(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets.debian import collection, text_rules

    return collection.build(list(text_rules.LANGUAGES), mirror=data.mirror, work=work, progress=say)


def _libreoffice(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets.libreoffice import collection

    return collection.build(data.languages, mirror=data.mirror, work=work, progress=say)


def _lareqa(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets import lareqa
    from hybrid_sweep.utils.text_lines import SKIP, Problems

    assert isinstance(data, LareqaData) and data.path is not None, (
        "hub.local gives the fetched files' folder"
    )
    context = data.name.endswith("_context")
    problems = Problems(data.on_error, say, hint=SKIP)
    return lareqa.build(Path(data.path).expanduser(), data.name, context=context, problems=problems)


def _marco(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets import msmarco

    assert isinstance(data, MarcoData)
    return msmarco.build(data, say, work.parent)


def _miracl(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets import miracl

    assert isinstance(data, MiraclData)
    return miracl.build(data, work.parent, say)


def _files(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets import files

    assert isinstance(data, FilesData)
    return files.build(data, work.parent, say)


def _ir_datasets(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets import ir_datasets

    assert isinstance(data, IrDatasetsData)
    return ir_datasets.build(data, work.parent, say)


def _hf(data: DataConfig, work: Path, say: Say) -> Collection:
    from hybrid_sweep.data.datasets import hf

    assert isinstance(data, HfData)
    return hf.build(data, work.parent, say)


# (what the config says, a private folder to work in, where to report progress) -> all languages of
# the collection; of MS MARCO and MIRACL, which have files of gigabytes for each, and of
# LibreOffice, which keeps what is fit in all, those of data.languages
BUILDERS: dict[str, Callable[[DataConfig, Path, Say], Collection]] = {
    "debian": _debian,
    "libreoffice": _libreoffice,
    "synthetic": _synthetic,
    "xquad_r": _lareqa,
    "xquad_r_context": _lareqa,
    "mlqa_r": _lareqa,
    "mlqa_r_context": _lareqa,
    "mmarco": _marco,
    "msmarco": _marco,
    "miracl": _miracl,
    "files": _files,
    "ir_datasets": _ir_datasets,
    "hf": _hf,
    "neuclir": _ir_datasets,
    "hc4": _ir_datasets,
    "neumarco": _ir_datasets,
}


def check_languages(data: DataConfig) -> None:
    """Refuse, before anything is fetched or cleaned, a language that Debian and MIRACL never have;
    what other collections have, and a folder of data.path, is in their files.

    Raises:
        UserError: names the languages that there are.
    """
    builder = BUILDERS.get(data.name)
    if data.path is not None:
        return
    # Lists of names alone: what fetches and cleans is not imported.
    if builder is _debian:
        from hybrid_sweep.data.datasets.debian.text_rules import LANGUAGES

        check_known("debian", data.languages, sorted(LANGUAGES))
    elif builder is _miracl:
        from hybrid_sweep.data.datasets import miracl

        check_known("MIRACL", data.languages, miracl.LANGUAGES)


def has_clusters(collection: Collection, name: str) -> bool:
    """Return whether `clusters_of` tells which questions belong together."""
    return collection.clusters is not None or BUILDERS.get(name) in (_lareqa, _debian)


def clusters_of(collection: Collection, name: str) -> dict[str, str] | None:
    """Return which questions belong together: the cluster of each query group; None where the
    source does not tell.

    name: of conf/data. XQuAD-R and MLQA-R: the paragraph; Debian: the source package; LibreOffice:
    the page; one's own files: what they say.
    """
    if collection.clusters is not None:
        groups, clusters = (column.to_pylist() for column in collection.clusters.columns)
        return dict(zip(groups, clusters, strict=True))
    builder = BUILDERS.get(name)
    if builder is _lareqa:
        from hybrid_sweep.data.datasets import lareqa

        return lareqa.paragraphs(collection)
    if builder is _debian:
        from hybrid_sweep.data.datasets.debian import collection as debian

        return debian.sources(collection)
    return None
