"""Each number of report.html can be recomputed from per_query.parquet, by other code, where there
is no torch.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from hybrid_sweep.report.derived import COLUMNS as DERIVED
from hybrid_sweep.report.results import COLUMNS
from tests.report.folders import runs_of
from tests.report.page.test_html import block, page
from tests.report.test_clusters import cluster_of, groups_of, keep

Make = Callable[..., Path]
HERE = Path(__file__).parent
PLAIN = [name for name in COLUMNS if name != "n_clusters"]  # of a sweep whose questions stand alone
NEEDED = ["numpy", "scipy", "pandas", "pyarrow", "dateutil", "six"]
START = "import runpy, sys; sys.path[:0], sys.argv = sys.argv[1:3], sys.argv[3:]; "
START += "runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to numpy, scipy, pandas, pyarrow and what these need: all that the
    recomputation may import.
    """
    folder = tmp_path_factory.mktemp("clean")
    site = Path(numpy.__file__).parents[1]
    for name in NEEDED:  # a wheel may bring its shared libraries along in a folder beside it
        for found in [*site.glob(name), *site.glob(f"{name}.py"), *site.glob(f"{name}.libs")]:
            (folder / found.name).symlink_to(found)
    return folder


def recompute(clean: Path, sweep_dir: Path) -> dict[str, Any]:
    """What the script finds in an interpreter that sees neither the site-packages nor this
    project.
    """
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        START,
        str(clean),
        str(HERE),
        str(HERE / "recompute.py"),
    ]
    done = subprocess.run(
        [*command, str(sweep_dir), str(sweep_dir / "report.html")],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def in_clusters(sweep_dir: Path) -> None:
    """Put the questions of each run into clusters of unequal sizes."""
    by_group = {group: cluster_of(group) for group in groups_of(sweep_dir)}
    for run_dir in runs_of(sweep_dir).iterdir():
        keep(run_dir, by_group)


def remove(sweep_dir: Path, *run_ids: str) -> None:
    for run_id in run_ids:
        (sweep_dir.parent.parent / "runs" / run_id / "metrics.json").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [False, True], ids=["questions", "clusters"])
def test_every_number_is_recomputed_without_torch(
    clean: Path, make_sweep: Make, world: Any, clusters: bool
) -> None:
    """A sweep that has something in every column: an inconclusive ratio, a price, a turn, languages
    never trained on.
    """
    kind = world(
        mono=lambda ratio: 0.12 * ratio * (0.9 - ratio),
        cross=lambda ratio: 0.2 * ratio,
        has={"de": 0.6, "fr": 0.8},
        trained=("de", "en"),
        questions=60,
        noise=0.05,
    )
    sweep_dir = make_sweep(kind, ratios=(0.0, 0.25, 0.5, 0.75, 1.0), bm25=True)
    if clusters:
        in_clusters(sweep_dir)
    text = page(sweep_dir)
    found = recompute(clean, sweep_dir)
    assert found["importable"] == [] and found["wrong"] == []
    counts = found["counts"]
    wanted = COLUMNS if clusters else PLAIN
    assert {name for name in wanted if not counts[f"results.{name}"]} == set()
    assert {name for name in DERIVED if not counts[f"derived.{name}"]} == set()
    cells = {name: number for name, number in counts.items() if name.startswith("cell.")}
    assert len(cells) > 20 and min(cells.values()) > 0
    numbers = len(re.findall("data-value=", text))
    assert sum(cells.values()) - counts["cell.interval"] == numbers > 200 and counts["words"] > 80


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"seeds": (0,)}, ()),
        ({"seeds": (0, 1)}, ()),
        ({"seeds": (0, 1, 2, 3, 4)}, ()),
        ({}, ("t050s0",)),
        ({"seeds": (0, 1, 2, 3)}, ("t000s1", "t100s2", "u000s0")),
        ({}, ("t050s0", "t050s1", "t050s2")),
        ({"ratios": (0.5, 1.0)}, ()),
        ({"ratios": ()}, ()),
    ],
)
def test_odd_sweeps_are_recomputed(
    clean: Path, make_sweep: Make, world: Any, changes: dict[str, Any], gone: tuple[str, ...]
) -> None:
    sweep_dir = make_sweep(
        world(has={"de": 0.6, "fr": 0.8}, mono=lambda ratio: -0.05 * ratio), **changes
    )
    remove(sweep_dir, *gone)
    page(sweep_dir)
    found = recompute(clean, sweep_dir)
    assert (
        found["wrong"] == [] and found["importable"] == [] and found["counts"]["results.mean"] > 10
    )


def planted(text: str, part: str, name: str) -> list[str]:
    """The page with one number changed in the third digit, at the first, middle and last place of a
    column.
    """
    content = block(text)
    frame = content if part == "results" else content["derived"]
    column = frame["columns"].index(name)
    there = [
        i
        for i, row in enumerate(frame["rows"])
        if isinstance(row[column], (int, float)) and row[column]
    ]
    pages = []
    for i in {there[0], there[len(there) // 2], there[-1]} if there else []:
        value = frame["rows"][i][column]
        frame["rows"][i][column] = value + 1 if isinstance(value, int) else value * 1.001
        whole = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
        before, after = text.split('id="results">', 1)
        pages.append(before + 'id="results">' + whole + after[after.index("</script>") :])
        frame["rows"][i][column] = value
    return pages


@pytest.mark.slow
def test_a_wrong_number_anywhere_is_found(
    make_sweep: Make, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    import recompute as script  # type: ignore[import-not-found]

    sweep_dir = make_sweep(
        world(has={"de": 0.6}, cross=lambda ratio: 0.2 * ratio, questions=60), bm25=True
    )
    text = page(sweep_dir)
    truth = script.recomputed(sweep_dir, block(text)["trained"])
    assert script.compare(text, *truth).wrong == []
    wrong = [page for name in PLAIN for page in planted(text, "results", name)]
    wrong += [page for name in DERIVED for page in planted(text, "derived", name)]
    cells = list(re.finditer(r'data-value="(-?[\d.e-]+)"', text))
    for cell in cells[:: max(len(cells) // 25, 1)]:
        changed = f'data-value="{float(cell[1]) * 1.001 + 0.0001}"'
        wrong.append(text[: cell.start()] + changed + text[cell.end() :])
    cell = next(re.finditer(r"<td>\[([+-]0\.\d\d\d), ", text))
    wrong.append(text[: cell.start(1)] + "+0.999" + text[cell.end(1) :])
    said = next(re.finditer(r"90 % interval \[([+-]0\.\d\d\d), ", text))
    wrong.append(text[: said.start(1)] + "+0.987" + text[said.end(1) :])
    assert len(wrong) > 80
    assert [
        number for number, page in enumerate(wrong) if not script.compare(page, *truth).wrong
    ] == []
