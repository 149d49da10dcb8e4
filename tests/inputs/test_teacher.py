"""What a teacher must have scored is refused before anything is trained, with the pair named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.config.schema import Config
from hybrid_sweep.inputs import teacher
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.sweeps import point_list
from tests.refused import refused

Make = Callable[..., Config]
TWO = "data.languages=[xa,xb]"


@pytest.fixture
def texts(config: Make) -> dict[str, list[str]]:
    """The groups of the training pairs, and their texts by group and language."""
    (source,) = prepare(config(TWO)).sources
    return {"groups": sorted(set(source.pairs.ids.to_pylist()))}


@pytest.fixture
def run(config: Make, tmp_path: Path, texts: dict[str, list[str]]) -> Callable[..., Any]:
    """Checks a file of scores; the hard negatives of a group are the two behind it."""
    groups = texts["groups"]
    near = [(one, groups[(place + 1) % len(groups)]) for place, one in enumerate(groups)]
    negatives = tmp_path / "negatives.tsv"
    negatives.write_text("".join(f"{one}\t{one}\t{other}\n" for one, other in near))
    scores = tmp_path / "scores.tsv"
    said: list[str] = []

    def work(lines: list[str], *words: str) -> list[str]:
        scores.write_text("".join(f"{line}\n" for line in lines))
        made = config(
            TWO,
            f"data.negatives={negatives}",
            "batch.hard_negatives=1",
            f"loss.distillation.path={scores}",
            "loss.distillation.weight=1",
            *words,
        )
        teacher.check(made, prepare(made), said.append)
        return said

    return work


def lines_of(groups: list[str], shift: int) -> list[str]:
    count = len(groups)
    return [f"{one}\t{groups[(place + shift) % count]}\t1" for place, one in enumerate(groups)]


def test_all_pairs_and_all_hard_negatives_need_a_score(
    run: Callable[..., Any], texts: dict[str, list[str]]
) -> None:
    own, near = (lines_of(texts["groups"], shift) for shift in (0, 1))
    run(own + near)
    with refused("teacher.missing", texts["groups"][7]):
        run(own[:7] + own[8:] + near)
    with refused("teacher.missing", texts["groups"][8], texts["groups"][9]):
        run(own + near[:8] + near[9:])
    run(own + near[:8], "loss.distillation.over=batch")


def test_the_scores_of_texts_cover_the_languages_that_a_ratio_draws(
    run: Callable[..., Any], texts: dict[str, list[str]], config: Make
) -> None:
    (source,) = prepare(config(TWO)).sources
    ids = {}
    for kind in ("queries", "passages"):
        table = getattr(source.collection, kind)
        columns = (table[name].to_pylist() for name in ("group", "lang", "id"))
        ids[kind] = {(group, lang): name for group, lang, name in zip(*columns, strict=True)}
    there = ids["queries"].keys() & ids["passages"].keys()
    groups = [one for one in texts["groups"] if {(one, "xa"), (one, "xb")} <= there]
    both = [*lines_of(texts["groups"], 0), *lines_of(texts["groups"], 1)]
    kept = [line for line in both if not line.startswith(f"{groups[3]}\t{groups[3]}\t")]
    pair = {
        (a, b): f"{ids['queries'][groups[3], a]}\t{ids['passages'][groups[3], b]}\t1"
        for a in ("xa", "xb")
        for b in ("xa", "xb")
    }
    mono = [pair["xa", "xa"], pair["xb", "xb"]]
    run([*kept, *mono], "batch.cross_lingual_ratio=0")
    for ratio in ("0.5", "1"):
        with refused("teacher.missing", ids["queries"][groups[3], "xa"]):
            run([*kept, *mono], f"batch.cross_lingual_ratio={ratio}")
    run([*kept, pair["xa", "xb"], pair["xb", "xa"]], "batch.cross_lingual_ratio=1")
    with refused("teacher.missing", "1 other"):
        crossed = [*kept, pair["xa", "xb"], pair["xb", "xa"]]
        run(crossed, "batch.cross_lingual_ratio=1", "batch.composition=per_language")
    run([*kept, pair["xa", "xb"]], "batch.cross_lingual_ratio=1", "batch.pairs={xa-xb: 1}")
    with refused("teacher.missing", "1 other"):
        run([*kept, pair["xa", "xb"], pair["xb", "xa"]], "batch.cross_lingual_ratio=0.5")


def test_the_scores_cover_the_languages_in_which_negatives_are_read(
    run: Callable[..., Any], texts: dict[str, list[str]], config: Make
) -> None:
    (source,) = prepare(config(TWO)).sources
    there = set(source.collection.queries["id"].to_pylist())
    there |= set(source.collection.passages["id"].to_pylist())
    groups = texts["groups"]
    for place in range(len(groups) - 1):
        names = groups[place : place + 2]
        ids = [f"{name}@{lang}:{side}" for name in names for lang in ("xa", "xb") for side in "qp"]
        if there.issuperset(ids):
            break
    one, other = names
    near = [line for line in lines_of(groups, 1) if not line.startswith(f"{one}\t")]
    kept = [*lines_of(groups, 0), *near]
    score = {(a, b): f"{one}@{a}:q\t{other}@{b}:p\t1" for a in ("xa", "xb") for b in ("xa", "xb")}
    crossed = [*kept, score["xa", "xb"], score["xb", "xa"]]
    own = [*kept, score["xa", "xa"], score["xb", "xb"]]
    ratio = "batch.cross_lingual_ratio=1"
    run(crossed, ratio)
    run(own, ratio, "batch.negatives_language=query")
    run([*kept, *score.values()], ratio, "batch.negatives_language=mixed")
    run([*kept, score["xa", "xb"]], ratio, "batch.query_languages=[xa]")
    for language, lines in (("query", crossed), ("mixed", own)):
        with refused("teacher.missing", f"{one}@xa:q", "1 other"):
            run(lines, ratio, f"batch.negatives_language={language}")


def test_in_a_batch_what_is_scored_is_counted_and_something_must_be(
    run: Callable[..., Any], texts: dict[str, list[str]]
) -> None:
    own, near = (lines_of(texts["groups"], shift) for shift in (0, 1))
    said = run(own + near[:5], "loss.distillation.over=batch")
    assert "scores of 5 of the" in said[-1]
    with refused("teacher.no_negative"):
        run(own, "loss.distillation.over=batch")


def test_the_points_of_a_sweep_are_checked_each_by_its_ratio(
    config: Make, run: Callable[..., Any], texts: dict[str, list[str]], tmp_path: Path
) -> None:
    """Before any folder is made, and though another ratio of the same content has passed."""
    groups = texts["groups"]
    (source,) = prepare(config(TWO)).sources
    lines = [*lines_of(groups[:1], 0)]
    passages = set(source.collection.passages["id"].to_pylist())
    for query in source.collection.queries["id"].to_pylist():
        passage = query.removesuffix("q") + "p"
        if passage in passages:
            lines.append(f"{query}\t{passage}\t1")
    words = ("loss.distillation.over=batch", TWO, f"paths.outputs={tmp_path}/out")
    run([*lines, *lines_of(groups, 1)], "batch.cross_lingual_ratio=0", words[0])
    made = []
    for ratio in ("0", "1"):
        more = (*words, f"loss.distillation.path={tmp_path}/scores.tsv")
        weight = "loss.distillation.weight=1"
        made.append(((), config(*more, weight, f"batch.cross_lingual_ratio={ratio}")))
    point_list.expand(made[:1], lambda text: None)
    with refused("teacher.missing"):
        point_list.expand(made, lambda text: None)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_refused(config: Make, tmp_path: Path) -> None:
    words = ("loss.distillation.weight=1", "loss.distillation.over=batch")
    made = config(TWO, *words, f"loss.distillation.path={tmp_path}/none.tsv")
    with refused("teacher.file_missing", "none.tsv"):
        prepare(made)
