"""The texts behind the probe: the collection that the runs read, opened where it lies, and never
another build of it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.escaping import markdown

if TYPE_CHECKING:
    from hybrid_sweep.config.schema import DataConfig
    from hybrid_sweep.data.collection import Collection

Record = dict[str, Any]
GENERATED = 100_000  # groups of a synthetic collection that is generated to show its texts


@dataclass(frozen=True)
class Passages:
    """The relevant passages of a question that are shown, and how many are left out."""

    shown: list[Record] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True)
class SplitTexts:
    """What the runs were evaluated on: one split of a collection in some languages; texts are read
    when asked for.
    """

    collection: "Collection"
    split: str
    languages: tuple[str, ...]

    def source(self) -> str:
        """Return which texts these are, and under which licence, as far as the collection says;
        Markdown.
        """
        info = self.collection.info
        parts = [
            f"collection {markdown(self.collection.name)}, build"
            f" {markdown(self.collection.fingerprint)}"
        ]
        for key in ("source", "licence"):
            if isinstance(info.get(key), str):
                parts.append(f"{key}: {markdown(info[key])}")
        return "; ".join(parts)

    def queries(self, questions: Sequence[str]) -> dict[str, list[Record]]:
        """Return the language, id and text of each query of these questions (groups), by language
        and id.
        """
        chosen = _rows(self.collection.queries, questions, [self.split], self.languages)
        by_question: dict[str, list[Record]] = {}
        for row in sorted(chosen.to_pylist(), key=lambda row: (row["lang"], row["id"])):
            query = {"language": row["lang"], "id": row["id"], "text": row["text"]}
            by_question.setdefault(row["group"], []).append(query)
        return by_question

    def relevant(self, questions: Sequence[str], most: int) -> dict[str, Passages]:
        """Return up to `most` relevant passages of each question, whole; the best of every language
        before a second of any.
        """
        qrels = self.collection.qrels
        mine = qrels.filter(
            pc.is_in(qrels["query_group"], value_set=pa.array(sorted(set(questions)), pa.string()))
        )
        judged = [row for row in mine.to_pylist() if row["grade"] > 0]
        groups = sorted({row["passage_group"] for row in judged})
        versions: dict[str, list[Record]] = {}
        for row in _rows(
            self.collection.passages, groups, [self.split, "*"], self.languages
        ).to_pylist():
            versions.setdefault(row["group"], []).append(row)
        by_question: dict[str, list[Record]] = {}
        for judgement in judged:
            for row in versions.get(judgement["passage_group"], []):
                passage = {
                    "language": row["lang"],
                    "id": row["id"],
                    "grade": judgement["grade"],
                    "text": row["text"],
                }
                by_question.setdefault(judgement["query_group"], []).append(passage)
        return {question: _first(rows, most) for question, rows in by_question.items()}


def _rows(
    table: pa.Table, groups: Sequence[str], splits: Sequence[str], languages: Sequence[str]
) -> pa.Table:
    """Return the texts of some groups in some splits and languages."""
    wanted = {"group": sorted(set(groups)), "split": splits, "lang": languages}
    for name, values in wanted.items():
        table = table.filter(pc.is_in(table[name], value_set=pa.array(values, pa.string())))
    return table


def _first(rows: list[Record], most: int) -> Passages:
    rows = sorted(rows, key=lambda row: (row["language"], -row["grade"], row["id"]))
    turn: dict[str, int] = {}
    placed = []
    for row in rows:
        turn[row["language"]] = turn.get(row["language"], 0) + 1
        placed.append((turn[row["language"]], row["language"], row))
    placed.sort(key=lambda entry: entry[:2])
    return Passages([row for _, _, row in placed[:most]], max(0, len(placed) - most))


def opened(
    run_dir: Path, on: str, fingerprint: str, given: Path | None, how: Callable[["DataConfig"], str]
) -> SplitTexts | str:
    """Return the texts that the run was evaluated on, or in a few words why they are not at hand;
    nothing is fetched.

    on: a further collection of the run. fingerprint: of the content that the runs read. given: the
    folder of a built collection, in place of the one in the cache. how: the command that prepares a
    collection. Raises UserError where the collection is another build, or is damaged.
    """
    # Only here, since most of what the analysis does needs neither the configs' types nor the
    # collections.
    from hybrid_sweep.config import validate
    from hybrid_sweep.config.schema import PathsConfig, SyntheticData, cache_dir
    from hybrid_sweep.data import collection as collections
    from hybrid_sweep.inputs import prepare
    from hybrid_sweep.runs import stages

    if not fingerprint:
        return "the runs do not say which build of their collection they read"
    try:
        # The cache of whoever reads, not that of whoever ran: a path in a stored config is not
        # followed.
        config = dataclasses.replace(validate.stored(run_dir), paths=PathsConfig())
        stage = next((stage for stage in stages.of(config, run_dir) if stage.name == on), None)
    except (OSError, UserError, KeyError):
        return f"{run_dir / 'config.yaml'} cannot be read"
    if stage is None:
        return f"{run_dir / 'config.yaml'} does not say where {on} lies"
    data = stage.config.data
    folder = None
    if given is not None:
        folder, collection = given, collections.load(given)
    elif isinstance(data, SyntheticData) and data.groups <= GENERATED:
        collection = prepare.whole_collection(stage.config)  # generated text takes no time
    else:
        folder = prepare.built(cache_dir(stage.config), fingerprint)
        if folder is None:
            return (
                f"collection {data.name} is not on this machine ({how(data)} makes it); or copy its"
                f" folder from where the runs were made, with fingerprint {fingerprint}, and name"
                " it by --collection DIR"
            )
        collection = collections.load(folder)
    if collection.fingerprint != fingerprint:
        raise UserError(
            f"the collection {'in ' + str(folder) if folder else data.name} is another build"
            f" ({collection.fingerprint}) than the one that the runs read ({fingerprint}): give"
            " that one by --collection DIR, or --no-texts for none",
            key="probe.other_collection",
        )
    return SplitTexts(collection, stage.config.eval.split, tuple(sorted(set(data.languages))))
