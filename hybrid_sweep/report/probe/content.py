"""What the probe of a sweep is told from: its tables, its questions and its sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.probe.cells import Rule
from hybrid_sweep.report.probe.texts import Record


@dataclass(frozen=True)
class ProbeContent:
    """What the probe of a sweep is told from.

    ratio: of the sentences and the examples. table, together: the frames of probe.csv and
    shared.csv. records: those of the .jsonl files, by name. sentences: the first is the answer.
    warnings: about the points of the sweep.
    """

    sweep: Sweep
    rule: Rule
    ratio: float
    table: pd.DataFrame
    together: pd.DataFrame
    records: Mapping[str, Sequence[Record]]
    sentences: Sequence[str]
    warnings: Sequence[str]
