"""Languages that only ask and languages that only answer, through the real command line: from files
to a report.
"""

import os

import pandas as pd
import pytest

from hybrid_sweep.utils.files import read_json
from tests import one_sided, ready
from tests.small import SMALL

WORDS = [word for word in SMALL if not word.startswith("data")]
WORDS = [*WORDS, "data=files", "model=tiny", "trainer.max_steps=8", "logger=disabled"]


def cli(*words, cwd, code=0):
    done = ready.run(["-m", "hybrid_sweep", *words], cwd=cwd, env=dict(os.environ))
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def words_of(folder, languages):
    return [f"data.path={folder}", f"data.languages=[{','.join(languages)}]"]


def pairs_of(table):
    """The pairs of languages of a per-query table, by setting, with their numbers of rows."""
    return table.groupby(["setting", "query_lang", "passage_lang"]).size().to_dict()


CASES = {
    "neuclir": ({"fa": 20, "ru": 16, "zh": 20}, "en>fa 40, en>ru 32, en>zh 80"),
    "translated": ({"de": 20, "fr": 20, "zh": 20}, "en>de 40, en>fr 40, en>zh 40"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_from_files_to_a_report_with_a_figure(cache, tmp_path, name):
    rows, trained_on = CASES[name]
    folder = getattr(one_sided, name)(tmp_path / name)
    data = words_of(folder, one_sided.LANGUAGES[name])
    told = cli("data", "prepare", "files", *data, cwd=tmp_path)
    assert trained_on in told and "nothing monolingual can be trained" in told
    words = ["-m", *WORDS, *data, "seed=0,1", "eval.measures=[Judged@10]", "sweep.name=s"]
    refusal = cli("plan", *words, "batch.cross_lingual_ratio=0,1", cwd=tmp_path, code=2)
    assert refusal.strip().count("\n") == 0 and "batch.cross_lingual_ratio=1" in refusal
    words.append("batch.cross_lingual_ratio=1")
    assert "0 + 8" in cli("plan", *words, cwd=tmp_path)
    cli("run", *words, cwd=tmp_path)
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    shown = cli("report", str(sweep), cwd=tmp_path)
    assert "No verdict" in shown and "nan" not in shown.lower().split()
    for file in ("curve.png", "curve.svg", "report.html", "report.md", "table.tex"):
        assert (sweep / file).stat().st_size > 100, file
    results = pd.read_csv(sweep / "results.csv")
    assert set(results["setting"]) == {"cross-lingual", "multilingual"}
    assert set(results["kind"]) == {"trained", "untrained", "bm25"}
    for point in read_json(sweep / "points.json")["points"]:
        run_dir = tmp_path / "outputs" / "runs" / point["run_id"]
        table = pd.read_parquet(run_dir / "per_query.parquet")
        wanted = {("cross-lingual", "en", lang): count for lang, count in rows.items()}
        assert pairs_of(table) == wanted | {("multilingual", "en", "*"): 20}
        assert table["Judged@10"].between(0, 1).all() and table["Judged@10"].max() > 0
        cells = read_json(run_dir / "metrics.json")["cells"]
        without = {cell["passage_lang"]: cell["without_relevant"] for cell in cells}
        assert without == {**{lang: 20 - count for lang, count in rows.items()}, "*": 0}
    steps = pd.read_parquet(run_dir.parent / _trained(sweep) / "steps.parquet")
    assert set(steps["query_lang"]) == {"en"} and set(steps["passage_lang"]) <= set(rows)
    assert (steps["n_cross"] == steps["n_examples"]).all() and len(steps) == 8


def _trained(sweep):
    points = read_json(sweep / "points.json")["points"]
    return next(point["run_id"] for point in points if point["kind"] == "trained")


@pytest.mark.slow
def test_a_sweep_of_both_sides_is_evaluated_on_a_collection_of_one(cache, tmp_path):
    folder = one_sided.neuclir(tmp_path / "neuclir")
    also = ["+data@eval.also.clir=files", f"eval.also.clir.path={folder}"]
    also.append("eval.also.clir.languages=[en,fa,ru,zh]")
    words = [*SMALL, "trainer.max_steps=8", "logger=disabled", *also, "sweep.name=s"]
    words += ["sweep.bm25=false", "sweep.untrained=false"]
    cli("run", "-m", *words, "seed=0,1", "batch.cross_lingual_ratio=0,1", cwd=tmp_path)
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    shown = cli("report", str(sweep), cwd=tmp_path)
    assert shown.count("No verdict: no language") == 1 and (sweep / "on-clir/curve.png").is_file()
    here = pd.read_csv(sweep / "results.csv")
    there = pd.read_csv(sweep / "on-clir" / "results.csv")
    assert "monolingual" in set(here["setting"]) and "monolingual" not in set(there["setting"])
    changed = there[(there["scope"] == "macro") & (there["ratio"] == 1)]
    assert changed["delta"].notna().all() and changed["verdict"].isna().all()


@pytest.mark.slow
def test_each_question_is_trained_with_the_passages_of_all_languages(cache, tmp_path):
    """The plan refuses a batch that is no multiple of them; a run does what the plan says."""
    folder = one_sided.translated(tmp_path / "translated")
    data = words_of(folder, one_sided.LANGUAGES["translated"])
    cli("data", "prepare", "files", *data, cwd=tmp_path)
    words = [*WORDS, *data, "seed=0"]
    words += ["batch.composition=per_language", "batch.cross_lingual_ratio=1"]
    refusal = cli("plan", *words, cwd=tmp_path, code=2)
    assert refusal.strip().count("\n") == 0 and "15 or 18" in refusal
    words.append("batch.size=15")
    assert "en-de 40, en-fr 40, en-zh 40" in cli("plan", *words, cwd=tmp_path)
    cli("run", *words, cwd=tmp_path)
    (file,) = (tmp_path / "outputs" / "runs").glob("*/steps.parquet")
    steps = pd.read_parquet(file)
    assert set(steps["query_lang"]) == {"en"} and set(steps["passage_lang"]) == {"de+fr+zh"}
    assert (steps["n_cross"] == 15).all() and len(steps) == 8
