"""The report of published sweeps: made again from their rows, into a folder of the user's."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError

if TYPE_CHECKING:
    from hybrid_sweep.report.cluster_files import ClusterChoice

USUAL = Path("outputs", "published")  # a folder for each published sweep
# What makes a folder a sweep; the copy of a report is none.
OF_A_SWEEP = ("points.json", "merged.json", "plan.jsonl", "lock")


def is_published(folder: Path) -> bool:
    """Return whether a folder holds a published sweep."""
    return (folder / "runs.json").is_file() and (folder / "points.json").is_file()


@dataclass(frozen=True)
class ReportOptions:
    """What was asked for, as for `write_report`."""

    allow_missing: bool
    measure: str | None
    clusters: "ClusterChoice"


def report(sweep_dirs: Sequence[Path], out: Path | None, asked: ReportOptions) -> int:
    """Write the report of sweeps of which some are published, or their comparison; the exit code.

    Args:
        sweep_dirs: folders of sweeps and of published sweeps.
        out: where it is written; None: outputs/published/NAME of the first. Where the first is no
            published sweep it is written beside it, as always.
        asked: the options of the report.

    Nothing is written into a published folder unless `out` names it.
    """
    from hybrid_sweep.report import publish
    from hybrid_sweep.report.report import write_report

    target = out or USUAL / sweep_dirs[0].resolve().name
    with tempfile.TemporaryDirectory() as temporary:
        shown: dict[str, str] = {}
        folders = []
        for number, folder in enumerate(sweep_dirs):
            if not is_published(folder):
                folders.append(folder)
                continue
            thawed = publish.thaw(folder, Path(temporary) / str(number))
            shown[str(thawed)] = str(folder if number else target)
            folders.append(thawed)
        try:
            made = write_report(
                folders,
                allow_missing=asked.allow_missing,
                measure=asked.measure,
                clusters=asked.clusters,
            )
        except UserError as error:
            raise UserError(_with_names(str(error), shown), key=error.key) from error
        if is_published(sweep_dirs[0]):
            ignored = shutil.ignore_patterns(*OF_A_SWEEP)
            shutil.copytree(folders[0], target, dirs_exist_ok=True, ignore=ignored)
            say(f"{sweep_dirs[0]} is published: its report is made from its rows, in {target}")
    say(_with_names(made.console, shown))
    return made.exit_code


def _with_names(text: str, shown: dict[str, str]) -> str:
    """Return a text in which the folders that were read are those that the user knows."""
    for there, name in shown.items():
        text = text.replace(there, name)
    return text
