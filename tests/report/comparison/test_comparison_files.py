"""What a comparison writes: where, which bytes, whose names, and what its figure draws."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.cbook import is_math_text

from hybrid_sweep.commands import cli
from hybrid_sweep.report.comparison import figure as figure_comparison
from hybrid_sweep.report.comparison import report as report_comparison
from hybrid_sweep.report.comparison.report import folder_of
from hybrid_sweep.report.report import write_report
from tests import snapshots
from tests.report.comparison.pairs_of_sweeps import (
    Make,
    compared,
    configured,
    edit,
    files_in,
    picked,
    runs_of,
)
from tests.report.sections import parts_of

KINDS = ("csv", "parquet", "png", "pdf", "svg", "md", "html", "tex")
NAMES = ["scales.csv", *(f"comparison.{kind}" for kind in KINDS)]


def test_everything_is_written_into_the_first_folder_and_nothing_into_the_other(
    two: tuple[Path, Path],
) -> None:
    before = files_in(two[1].parent.parent), files_in(two[0].parent.parent)
    made = write_report(list(two))
    folder = two[0] / "vs-b"
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    assert sorted(path.name for path in made.paths) == sorted(NAMES) and {
        path.parent for path in made.paths
    } == {folder}
    assert files_in(two[1].parent.parent) == before[0]
    after = files_in(two[0].parent.parent)
    assert {name: after[name] for name in before[1]} == before[1]
    assert {name for name in after if name not in before[1]} == {
        f"sweeps/a/vs-b/{name}" for name in NAMES
    }
    assert made.exit_code == 0 and made.figure == folder / "comparison.png" and made.missing == ()
    snapshots.check("comparison/console", made.console.replace(str(two[0]), "FIRST_DIR") + "\n")
    assert made.answer in " ".join(made.console.split())
    csv, parquet = (
        pd.read_csv(folder / "comparison.csv"),
        pd.read_parquet(folder / "comparison.parquet"),
    )
    assert csv.shape == parquet.shape == made.results.shape
    assert csv["value"].dropna().to_numpy() == pytest.approx(
        parquet["value"].dropna().to_numpy(), rel=1e-12
    )


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(two: tuple[Path, Path]) -> None:
    first = {path.name: path.read_bytes() for path in write_report(list(two)).paths}
    for number, path in enumerate(
        sorted(itertools.chain(*(runs_of(each).glob("*/per_query.parquet") for each in two)))
    ):
        pd.read_parquet(path).sample(frac=1, random_state=number).to_parquet(path, index=False)
    for folder in two:
        edit(folder / "points.json", lambda plan: plan["points"].reverse())
        for run in runs_of(folder).iterdir():
            edit(
                run / "provenance.json",
                lambda found: found.update(times={"train": 9}, max_memory_mb=1),
            )
            edit(
                run / "provenance.json",
                lambda found: found["hardware"].update(cpu="other", host="node17"),
            )
    second = {path.name: path.read_bytes() for path in write_report(list(two)).paths}
    assert [name for name in first if first[name] != second[name]] == []
    for name in ("comparison.md", "comparison.html", "comparison.tex", "comparison.csv"):
        assert str(two[0].parent.parent).encode() not in first[name]


@pytest.mark.slow
def test_a_missing_point_of_the_other_sweep_makes_the_exit_code_1(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(drawn: Any, folder: Path, name: str) -> tuple[Path, ...]:
        for kind in ("png", "pdf", "svg"):
            (folder / f"{name}.{kind}").write_text("")
        return tuple(folder / f"{name}.{kind}" for kind in ("png", "pdf", "svg"))

    monkeypatch.setattr(report_comparison, "save", save)
    monkeypatch.setattr(figure_comparison, "draw", lambda comparison: None)
    words = ["report", *map(str, two)]
    assert cli.main(words) == 0 and "hybrid-sweep run" not in capsys.readouterr().out
    (runs_of(two[1]) / "bt050s1" / "metrics.json").unlink()
    edit(
        two[1] / "points.json", lambda plan: plan.update(command="hybrid-sweep run -m experiment=b")
    )
    assert cli.main(words) == 1
    told = capsys.readouterr().out
    assert told.count("hybrid-sweep run") == told.count("hybrid-sweep run -m experiment=b ") == 1
    assert "experiment=a" not in told  # the first sweep misses nothing
    assert cli.main([*words, "--allow-missing"]) == 0


@pytest.mark.slow
def test_further_collections_that_all_have_are_compared_too(two: tuple[Path, Path]) -> None:
    for folder, names in zip(two, (["near", "far", "own"], ["near", "far"]), strict=True):
        edit(
            folder / "points.json",
            lambda plan, names=names: [row.update(also=names) for row in plan["points"]],
        )
        for run in runs_of(folder).iterdir():
            place = run / "evaluations" / "near"
            place.mkdir(parents=True)
            table = pd.read_parquet(run / "per_query.parquet")
            table.assign(collection="bank", **{"RR@10": table["RR@10"] / 2}).to_parquet(
                place / "per_query.parquet", index=False
            )
            metrics = {
                "run_id": run.name,
                "collection": "bank",
                "languages": ["de", "en", "fr"],
                "fingerprint": "beef",
            }
            (place / "metrics.json").write_text(json.dumps(metrics))
    # of the data that was trained on, not evaluated on
    configured(two[1], "name: toy", "name: toy\n  share: 0.5")
    made = write_report(list(two), allow_missing=True)
    assert made.exit_code == 0 and write_report(list(two)).exit_code == 1
    here, far, _ = parts_of(made.console.replace(str(two[0]), "FIRST_DIR"))
    near = two[0] / "vs-b" / "on-near"
    assert (
        sorted(path.name for path in near.iterdir()) == sorted(NAMES)
        and not near.with_name("on-far").exists()
    )
    main, there = (pd.read_csv(folder / "comparison.csv") for folder in (near.parent, near))
    level = "statistic == 'level' and measure == 'RR@10'"
    assert there.query(level)["value"].to_numpy() * 2 == pytest.approx(
        main.query(level)["value"].to_numpy(), rel=1e-6
    )
    # the same fingerprint: tested
    assert (there.query("statistic == 'difference'")["value"] == 0).all()
    text = (near / "comparison.md").read_text()
    assert "| `model.hidden_size` | – | `256` |" in text and "| `data.share` | – | `0.5` |" in text
    told = [here.splitlines()[-1], far, text.splitlines()[0]]
    snapshots.check("comparison/further collections", "\n\n".join(told) + "\n")
    for path in runs_of(two[1]).glob("*/evaluations/near/metrics.json"):
        edit(path, lambda found: found.update(fingerprint="dead"))
    write_report(list(two), allow_missing=True)
    assert set(pd.read_csv(near / "comparison.csv")["statistic"]) == {"level", "change", "slope"}


NASTY = r"$x_a$ & <b>|`q` 50% \section #1 ~^{} *z*"


def test_names_are_taken_literally_everywhere(two: tuple[Path, Path]) -> None:
    edit(
        two[0] / "points.json",
        lambda plan: plan.update(name=NASTY, command="run <script>x</script>"),
    )
    edit(two[1] / "points.json", lambda plan: plan.update(name="_" + "long name " * 9))
    configured(two[1], "hidden_size: 256", "hidden_size: 256\n  query_prompt: '<img src=x> | `a`'")
    made = write_report(list(two))
    page = (made.figure.parent / "comparison.html").read_text()
    assert (
        "<b>" not in page
        and "<img src=x>" not in page
        and "<script" not in page
        and "&lt;script&gt;" in page
    )
    assert '<th scope="col"><code>' in page and "\\|" not in page
    assert page.count("<img") == 1 and "http" not in page.replace("http-equiv", "")
    text = (made.figure.parent / "comparison.md").read_text()
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1, block
    tex = (made.figure.parent / "comparison.tex").read_text()
    assert r"\$x\_a\$ \& \textless{}b\textgreater{}\textbar{}" in tex
    lines = [
        line for line in tex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line
    ]
    assert {line.replace(r"\&", "").count("&") for line in lines} == {12}
    svg = (made.figure.parent / "comparison.svg").read_text()
    assert "A: " in svg and "B: _long name" in svg
    # no formula in a name
    assert is_math_text(NASTY) and not is_math_text(figure_comparison.legible(NASTY))


def test_names_that_repeat_are_told_apart(make: Make) -> None:
    first, other = make("a"), configured(make("b"), "size: 64", "size: 32")
    edit(other / "points.json", lambda plan: plan.update(name="a"))
    found = compared(first, other, first)
    assert found.names == ("a", "a (2)", "a (3)")
    assert picked(found, statistic="difference")["sweep"].tolist() == ["a (2)", "a (3)"] * 3


def test_the_folder_of_a_comparison_has_a_name_that_a_file_system_takes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    assert folder_of(folders) == tmp_path / "a" / "vs-b-vs-c"
    long = [tmp_path / (letter * 120) for letter in "abé"]
    assert len(folder_of(long).name.encode()) < 255 and folder_of(long) != folder_of(
        [long[0], long[1], tmp_path / ("b" * 120)]
    )


# --- the figure


def test_the_figure_draws_the_numbers_of_the_table(two: tuple[Path, Path]) -> None:
    found = compared(*two)
    for name, drawn in zip(
        found.names,
        figure_comparison.lines_of(found, ("monolingual", "RR@10", "macro")),
        strict=True,
    ):
        changes = picked(found, statistic="change", sweep=name)
        assert drawn["change"].tolist() == [0.0, *changes["value"]]
        assert drawn["change_bottom"].tolist() == [0.0, *changes["low_90"]]
        assert drawn["examples_cross_lingual"].tolist() == [0, 6400, 12800]
    figure = figure_comparison.draw(found)
    assert figure.get_figwidth() == 7.0
    change, _, _, budget = figure.axes
    assert budget.get_ylim() == change.get_ylim()
    labels = [f"{axes.get_title('left')}: {axes.get_xlabel()}\n" for axes in figure.axes]
    snapshots.check("comparison/titles and labels of the figure", "".join(labels))
    lines = [line for line in budget.lines if line.get_linewidth() == 1.3]
    assert [line.get_xdata().tolist() for line in lines] == [[0, 6.4, 12.8]] * 2
    sizes = [
        text.get_fontsize()
        for text in figure.findobj(lambda part: hasattr(part, "get_fontsize"))
        if text.get_text()
    ]
    assert min(sizes) >= 6.5


@pytest.mark.slow
def test_sweeps_are_told_apart_without_colour(two: tuple[Path, Path]) -> None:
    looks = figure_comparison.LOOKS
    assert (
        len(looks)
        == figure_comparison.LIMIT
        == len({str(line) for _, line, _ in looks})
        == len({m for *_, m in looks})
    )
    figure = figure_comparison.draw(compared(*two, two[0], two[1], two[0], two[1]))
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert [text[:2] for text in texts[:6]] == ["A:", "B:", "C:", "D:", "E:", "F:"]
    drawn = [line.get_linestyle() for line in figure.axes[0].lines if line.get_linewidth() == 1.3]
    assert len(drawn) == 6


@pytest.mark.parametrize(
    ("verdict", "fill"),
    [
        ("baseline", "full"),
        ("superior", "full"),
        ("non-inferior", "full"),
        ("degraded", "left"),
        ("inconclusive", "none"),
    ],
)
def test_the_fill_of_a_mark_is_the_verdict(verdict: str, fill: str) -> None:
    assert figure_comparison._fill({"verdict": verdict, "ratio": 0.5, "p_holm": 1.0}, True) == fill
    assert (
        figure_comparison._fill({"verdict": verdict, "ratio": 0.5, "p_holm": 1.0}, False) == "none"
    )
    assert figure_comparison._fill({"verdict": "", "ratio": 0.5, "p_holm": 0.01}, False) == "full"


def test_sweeps_without_counts_or_ratio_0_still_have_a_figure(two: tuple[Path, Path]) -> None:
    whole = figure_comparison.draw(compared(*two))
    for folder in two:
        for run in runs_of(folder).iterdir():
            (run / "metrics.json").write_text(json.dumps({"run_id": run.name}))
    for seed in range(3):
        (runs_of(two[1]) / f"bt000s{seed}" / "metrics.json").unlink()
    found = compared(*two)
    figure = figure_comparison.draw(found)
    here, before = ([axes.get_title("left") for axes in each.axes] for each in (figure, whole))
    assert here == before[:3] and len(before) == 4  # all but the panel of the examples
    rows = picked(found, statistic="difference")
    assert (
        rows["ratio"].tolist() == [0.5, 1.0]
        and picked(found, statistic="difference of changes").empty
    )


@pytest.mark.slow
def test_neither_torch_nor_hydra_nor_pyplot_is_imported(two: tuple[Path, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from hybrid_sweep.report.report import"
        f" write_report\nwrite_report([Path({str(two[0])!r}), Path({str(two[1])!r})])\nprint([name"
        " for name in ('torch', 'hydra', 'omegaconf', 'transformers', 'matplotlib.pyplot') if name"
        " in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
