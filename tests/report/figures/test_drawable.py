"""What figures and page draw of the derived statistics is what the sentences tell."""

import pandas as pd
import pytest

from hybrid_sweep.report.figures.drawable import drawable

SHAPES = ("slope", "isotonic", "band", "knee", "reversal")


def rows(interval: str) -> pd.DataFrame:
    about = {"setting": "monolingual", "measure": "RR@10", "scope": "macro"}
    made = [about | {"statistic": name, "interval": interval} for name in SHAPES]
    made[-1]["interval"] = "none"  # no turn was shown, whatever the seeds
    front = "bootstrap" if interval == "crossed" else interval
    made.append(about | {"statistic": "front", "interval": front})
    made.append(about | {"statistic": "language", "interval": interval})
    return pd.DataFrame(made)


def test_all_that_is_tested_is_drawn() -> None:
    assert list(drawable(rows("crossed"))["statistic"]) == [*SHAPES, "front", "language"]


@pytest.mark.parametrize("interval", ["conditional", "none"])
def test_of_too_few_seeds_or_questions_no_line_and_no_front_is_drawn(interval: str) -> None:
    assert list(drawable(rows(interval))["statistic"]) == ["language"]


def test_nothing_is_drawn_of_nothing() -> None:
    assert drawable(rows("crossed").iloc[:0]).empty
