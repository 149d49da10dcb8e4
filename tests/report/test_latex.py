"""table.tex: its structure, its numbers, its marks, and that no name can break it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.report.latex import latex
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import aggregate
from tests import snapshots
from tests.report.folders import edit

Make = Callable[..., Path]


def table(sweep_dir: Path) -> str:
    sweep = load([sweep_dir])
    return latex(sweep, aggregate(sweep))


def rows(text: str) -> dict[str, list[str]]:
    """The lines between the first and the last rule, as cells by their first one; every line as
    long as the head.
    """
    body = text.split("\\toprule\n")[1].split("\\bottomrule")[0]
    lines = [line for line in body.splitlines() if line != "\\midrule"]
    assert all(line.endswith(r" \\") for line in lines)
    cells = [line.removesuffix(r" \\").split(" & ") for line in lines]
    columns = re.search(r"\\begin\{tabular\}\{(l+)\}", text)
    assert columns and {len(row) for row in cells} == {len(columns[1])}
    return {row[0]: row for row in cells}


def caption(text: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(r"\caption"))
    return line + "\n"


def balanced(text: str) -> bool:
    depth = 0
    for sign in re.sub(r"\\.", "", text, flags=re.DOTALL):
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    return depth == 0 and len(re.findall(r"(?<!\\)\$", text)) % 2 == 0


def test_structure(sweep_dir: Path) -> None:
    text = table(sweep_dir)
    assert balanced(text) and re.findall(r"\\(begin|end)\{(\S+?)\}", text) == [
        ("begin", "table*"),
        ("begin", "tabular"),
        ("end", "tabular"),
        ("end", "table*"),
    ]
    assert [line for line in text.splitlines() if "rule" in line] == [
        "\\toprule",
        "\\midrule",
        "\\midrule",
        "\\bottomrule",
    ]
    assert [re.sub(r"\\textbf\{(.*)\}", r"\1", name) for name in rows(text)] == [
        "$r$",
        "0",
        "0.5",
        "1",
        "untrained",
    ]
    assert "\\label{tab:toy}" in text and table(sweep_dir) == text


def test_numbers_and_marks_are_those_of_the_results(sweep_dir: Path) -> None:
    found = rows(table(sweep_dir))
    results = aggregate(load([sweep_dir]))
    last = next(cells for name, cells in found.items() if name in ("1", r"\textbf{1}"))
    head = found["$r$"]
    macro = results.query("kind == 'trained' and ratio == 1 and scope == 'macro'").set_index(
        ["setting", "measure"]
    )
    for column, place in [
        ("Mono", ("monolingual", "RR@10")),
        ("Cross", ("cross-lingual", "RR@10")),
    ]:
        row, start = macro.loc[place], head.index(column)
        star = "^{*}" if row["p_holm"] < 0.05 else ""
        assert last[start] == f"${row['mean']:.3f}{star}$"
        ends = (
            ("delta_low_90", "delta_high_90") if column == "Mono" else ("delta_low", "delta_high")
        )
        low, high = (row[name] for name in ends)
        assert last[start + 1] == f"${row['delta']:+.3f}\\,[{low:+.3f}, {high:+.3f}]$"
    assert any("^{*}" in cell for cell in last)
    assert last[head.index("V")] == row_letter(macro.loc[("monolingual", "RR@10")]["verdict"])


def row_letter(verdict: str) -> str:
    return {
        "superior": "S",
        "non-inferior": "N",
        "inconclusive": "I",
        "degraded": "D",
        "untested": "U",
    }[verdict]


def test_a_name_cannot_break_it(make_sweep: Make) -> None:
    sweep_dir = make_sweep()
    plan = json.loads((sweep_dir / "points.json").read_text())
    plan["name"] = "a_b & 50% of $x {y} #1 \\input{z} ~^"
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    text = table(sweep_dir)
    assert balanced(text)
    assert (
        r" a\_b \& 50\% of \$x \{y\} \#1 \textbackslash{}input\{z\}"
        r" \textasciitilde{}\textasciicircum{}:" in text
    )
    assert "\\label{tab:a-b-50-of-x-y-1-input-z}" in text


def test_missing_points_one_seed_and_untrained_only(make_sweep: Make) -> None:
    sweep_dir = make_sweep()
    for seed in range(3):
        (sweep_dir.parent.parent / "runs" / f"t050s{seed}" / "metrics.json").unlink()
    text = table(sweep_dir)
    seeds, *cells = rows(text)["0.5"][1:4]
    assert re.findall(r"\d+", seeds) == ["0", "3"] and cells == ["--", "--"]
    snapshots.check("latex/missing points", caption(text))
    text = table(make_sweep(name="one", seeds=(0,)))
    assert r"^{\dagger}" in rows(text)["1"][3] and "textbf" not in text
    assert rows(text)["1"][4] == "U"
    snapshots.check("latex/one seed", caption(text))
    text = table(make_sweep(name="raw", ratios=()))
    assert (
        list(rows(text)) == ["$r$", "untrained"] and balanced(text) and text.count("\\midrule") == 1
    )


def test_columns_without_rows_are_left_out(make_sweep: Make, world: Any) -> None:
    head = rows(table(make_sweep(world(languages=("fr",)))))["$r$"]
    snapshots.check("latex/columns of one language", " & ".join(head) + "\n")


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("pdflatex") is None and not os.environ.get("CI"), reason="needs pdflatex on PATH"
)
def test_it_compiles(sweep_dir: Path) -> None:
    edit(sweep_dir / "points.json", lambda plan: plan.update(name="é Å ł – 中 ‘ş’ \\ # ^"))
    (sweep_dir / "table.tex").write_text(table(sweep_dir), encoding="utf-8")
    document = "\\documentclass[twocolumn]{article}\\usepackage{booktabs}\\begin{document}\\input{table}\\end{document}"
    (sweep_dir / "paper.tex").write_text(document)
    subprocess.run(
        ["pdflatex", "-halt-on-error", "paper"],
        cwd=sweep_dir,
        check=True,
        capture_output=True,
        timeout=120,
    )


def test_an_asterisk_asks_for_the_adjusted_p(sweep_dir: Path) -> None:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    results.loc[results["delta"].notna(), ["p", "p_holm"]] = [0.01, 0.06]
    assert not re.search(r"\d\^\{\*\}", latex(sweep, results))
    results.loc[results["delta"].notna(), "p_holm"] = 0.04
    assert re.search(r"\d\^\{\*\}", latex(sweep, results))
