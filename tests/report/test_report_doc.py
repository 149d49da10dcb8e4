"""docs/report.md: its snippet gives the page's numbers, and it names every file, verdict and column
that there is.
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report.render.cells import SIGNS
from hybrid_sweep.report.report import write_report
from tests.report.page.test_html import grid, page

Make = Callable[..., Path]
TEXT = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")


def test_the_snippet_gives_the_means_of_the_page(
    make_sweep: Make, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_dir = make_sweep(world(has={"de": 0.6, "fr": 0.8}), bm25=True)
    snippet = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    # The imports, and five statements.
    assert snippet and len(ast.parse(snippet[1]).body) == 1 + 5
    names: dict[str, Any] = {"SWEEP": str(sweep_dir)}
    exec(snippet[1], names)
    printed = capsys.readouterr().out
    head, *rows = grid(page(sweep_dir), "By ratio")
    shown = {row[0]: row[head.index("mono MRR@10")] for row in rows}
    means: pd.Series = names["means"].groupby("ratio").mean()
    assert {f"{ratio:g}": f"{mean:.3f}" for ratio, mean in means.items()} == {
        r: shown[r] for r in ("0", "0.5", "1")
    }
    assert all(f"{mean:.4f}" in printed for mean in means)


@pytest.mark.slow
def test_every_file_of_a_report_is_named(sweep_dir: Path) -> None:
    table = TEXT.split("## What is written")[1].split("\n## ")[0]
    named = set(re.findall(r"`([\w.-]+\.\w+)`", table))
    named |= {
        Path(name).with_suffix(kind).name
        for name in named
        if name.endswith(".png")
        for kind in (".pdf", ".svg")
    }
    written = {path.name for path in write_report([sweep_dir]).paths}
    assert written and written - named == set()


def test_every_verdict_is_explained_with_its_sign() -> None:
    table = TEXT.split("## The verdicts")[1].split("\n## ")[0]
    for word in ("non-inferior", "superior", "degraded", "inconclusive", "untested"):
        assert f"| {SIGNS[word]} {word} |" in table, word
