"""The sentences: every case of the answer, made from small tables of results."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.analysis.answer import answer, findings
from hybrid_sweep.analysis.derived import derived
from hybrid_sweep.analysis.results import aggregate
from hybrid_sweep.analysis.table import load
from hybrid_sweep.analysis.wording import listed, p_words, percent, signed

QUIET = dict(questions=150, noise=0.02, seed_sd=0.001)


@pytest.fixture
def say(make_sweep: Callable[..., Path], world: Any) -> Callable[..., tuple[str, str]]:
    """The answer and the findings of a sweep whose monolingual curve is `mono`, without the runs in `drop`."""

    def said(mono: Callable[[float], float], drop: tuple[str, ...] = (), **changes: Any) -> tuple[str, str]:
        noise = changes.pop("world", {})
        sweep_dir = make_sweep(world(**(QUIET | noise), mono=mono), **changes)
        for run in drop:
            shutil.rmtree(sweep_dir.parent.parent / "runs" / run)
        sweep = load([sweep_dir])
        results = aggregate(sweep)
        return answer(sweep, results), "\n".join(findings(sweep, results, derived(sweep, results)))

    return said


def test_non_inferior_everywhere(say: Callable[..., tuple[str, str]]) -> None:
    text, more = say(lambda r: 0.0, margin=0.03)
    assert text.startswith("With 3 seeds and 150 questions, every cross-lingual share up to 1 keeps monolingual MRR@10")
    assert "within the margin of 0.03 (lowest:" in text and "90 % interval [" in text
    assert "cross-lingual MRR@10 changes by +0.0" in text and "95 % interval [" in text
    assert "degraded" not in text and "open" not in text
    assert "No loss at r = 1 as large as the margin of 0.03" in more
    assert "Largest ratio still non-inferior: 1" in more
    assert "Cross-lingual MRR@10 rises** beyond the noise" in more
    assert "same-language share of the top 10 falls** beyond the noise" in more


def test_a_drop_near_one(say: Callable[..., tuple[str, str]]) -> None:
    text, more = say(lambda r: -0.08 * r**6, ratios=(0, 0.25, 0.5, 1), margin=0.02)
    assert "holds within the margin of 0.02 up to a cross-lingual share of 0.5; it is degraded at r = 1 (-0.0" in text
    assert "**Flat, r = 0.25 to 0.5**" in more
    assert "**A loss at r = 1, larger than the margin of 0.02**" in more


def test_degraded_everywhere(say: Callable[..., tuple[str, str]]) -> None:
    text, more = say(lambda r: -0.1 if r else 0.0)
    assert "no cross-lingual share is shown to keep monolingual MRR@10 within the margin" in text
    assert "it is degraded at r = 0.5 and 1 (" in text and ", at r = 1)" in text
    assert "**Not flat, r = 0.5**" in more


def test_a_gain(say: Callable[..., tuple[str, str]]) -> None:
    text, more = say(lambda r: 0.08 * r)
    assert "every cross-lingual share up to 1 keeps" in text and "it is higher at r = " in text
    assert "**A gain at r = 1**" in more


def test_inconclusive(say: Callable[..., tuple[str, str]]) -> None:
    text, more = say(lambda r: -0.01 * r, world={"noise": 0.2})
    assert "r = 0.5 and 1 stay open (" in text
    assert "**Open at r = 1**" in more
    assert re.search(r"The interval is 0\.0\d\d wide to either side, at a margin of 0\.01\.", more)
    assert "seeds would settle it, if the estimates hold" in more or "More questions, not more seeds" in more
    assert "**Flatness is not shown, r = 0.5**" in more


def test_a_curve_that_is_not_monotone(say: Callable[..., tuple[str, str]]) -> None:
    text, more = say(lambda r: -0.4 * r * (1 - r), margin=0.03)
    assert "the smallest cross-lingual share, 0.5, is not shown to keep" in text
    assert "r = 1 is within the margin although a smaller ratio is not shown to be" in text
    assert "No ratio is non-inferior together with every smaller tested one" in more


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_one_or_two_seeds(say: Callable[..., tuple[str, str]], seeds: tuple[int, ...]) -> None:
    text, more = say(lambda r: -0.1 * r, seeds=seeds)
    count = "1 seed" if len(seeds) == 1 else "2 seeds"
    assert text.startswith(
        f"No verdict: no interval over seeds is possible with {count} (3 are needed); for these checkpoints"
    )
    assert "95 % interval over the questions alone [-0." in text
    assert "these checkpoints only" in more
    assert not any(word in text + more for word in ("degraded", "non-inferior", "beyond the noise"))


def test_no_ratio_zero(say: Callable[..., tuple[str, str]]) -> None:
    text, more = say(lambda r: 0.0, drop=("t000s0", "t000s1", "t000s2"))
    assert text == (
        "No verdict: no point at ratio 0 is finished, and every comparison is with ratio 0. "
        "(3 of 10 points are missing.)"
    )
    assert more == ""


def test_nothing_but_ratio_zero(say: Callable[..., tuple[str, str]]) -> None:
    assert "only ratio 0 is finished" in say(lambda r: 0.0, ratios=(0.0,))[0]


def test_no_trained_point(say: Callable[..., tuple[str, str]]) -> None:
    trained = [f"t{ratio}s{seed}" for ratio in ("000", "050", "100") for seed in range(3)]
    assert "no trained point" in say(lambda r: 0.0, drop=tuple(trained))[0]


def test_no_seed_in_common(say: Callable[..., tuple[str, str]]) -> None:
    text, _ = say(lambda r: 0.0, ratios=(0, 1), drop=("t000s0", "t100s1", "t100s2"))
    assert text.startswith("No verdict: no seed is finished both at ratio 0 and at another ratio.")


def test_a_ratio_with_too_few_seeds_is_named_and_ends_the_run(say: Callable[..., tuple[str, str]]) -> None:
    text, more = say(lambda r: 0.0, drop=("t050s1",), margin=0.03)
    assert "r = 0.5 has too few seeds to be tested" in text and "(1 of 10 points are missing.)" in text
    assert "With 3 seeds" in text
    assert "the smallest cross-lingual share, 0.5, is not shown" in text
    assert "No ratio is non-inferior together with every smaller" in more


def test_a_ratio_that_is_missing_as_a_whole_ends_the_run_too(say: Callable[..., tuple[str, str]]) -> None:
    """Else deleting a bad ratio to the last seed would give a better answer than deleting one seed of it."""
    lost = tuple(f"t050s{seed}" for seed in range(3))
    text, more = say(lambda r: 0.0, ratios=(0, 0.25, 0.5, 0.75, 1), drop=lost, margin=0.03)
    assert "holds within the margin of 0.03 up to a cross-lingual share of 0.25; " in text
    assert "r = 0.75 and 1 are within the margin although a smaller ratio is not shown to be" in text
    assert "r = 0.5 has no finished seed that r = 0 has too" in text and "(3 of 16 points are missing.)" in text
    assert "**Largest ratio still non-inferior: 0.25**, as is every smaller planned one." in more
    assert "**Flat, r = 0.25 and 0.75**" in more
    text, more = say(lambda r: 0.0, drop=lost, margin=0.03, name="smallest")
    assert "the smallest cross-lingual share, 0.5, is not shown to keep" in text
    assert "No ratio is non-inferior together with every smaller planned one" in more
    # Finished, but with seeds that ratio 0 lacks: nothing to pair it with.
    text, _ = say(lambda r: 0.0, ratios=(0, 0.5, 1), seeds=range(6), name="apart", margin=0.03, drop=apart())
    assert "r = 0.5 has no finished seed that r = 0 has too" in text and "share, 0.5, is not shown" in text


def apart() -> tuple[str, ...]:
    """The runs to drop so that r = 0.5 has the seeds 3 to 5 alone, and the others 0 to 2."""
    return tuple(
        f"t{r}s{s}" for r, seeds in (("000", (3, 4, 5)), ("050", (0, 1, 2)), ("100", (3, 4, 5))) for s in seeds
    )


def test_the_slope_and_no_turn_are_said(say: Callable[..., tuple[str, str]]) -> None:
    _, more = say(lambda r: -0.1 * r, ratios=(0, 0.25, 0.5, 1))
    assert (
        "**Monolingual MRR@10 falls with r**: -0.0" in more
        and "per unit of r by least squares over r = 0 to 1, 95 % interval [" in more
    )
    assert (
        "(Holm over 8 curves)" in more
        and "No turn is shown" in more
        and "which is not to say that it is monotone" in more
    )
    _, more = say(lambda r: -0.1 * r, ratios=(0, 0.25, 0.5), name="short")
    assert "per unit of r by least squares over r = 0 to 0.5, 95 %" in more
    _, more = say(lambda r: 0.0, name="flat")
    assert "**No slope of monolingual MRR@10 is shown**" in more


def test_a_curve_that_turns_back_is_said_to(say: Callable[..., tuple[str, str]]) -> None:
    _, more = say(lambda r: -0.4 * r * (1 - r), ratios=(0, 0.25, 0.5, 1), world={"questions": 300})
    assert "**Not monotone**: monolingual MRR@10 both rises and falls. Against its main direction it moves by " in more


def test_the_price_is_said_where_the_gain_is_shown(say: Callable[..., tuple[str, str]]) -> None:
    _, more = say(lambda r: -0.1 * r)
    assert (
        "**At r = 1 each point of cross-lingual MRR@10 gained costs " in more and " monolingual points**, 95 %" in more
    )
    _, more = say(lambda r: 0.1 * r, name="gain")
    assert "At r = 1 cross-lingual MRR@10 comes with no monolingual loss (price -" in more
    _, more = say(lambda r: -0.1 * r, world={"cross": lambda r: 0.0}, name="nothing")
    assert "No price at r = 1: cross-lingual MRR@10 is not shown to rise there." in more
    assert "points of cross-lingual" not in more


def test_a_loss_that_may_be_nothing_is_not_called_a_price(say: Callable[..., tuple[str, str]]) -> None:
    _, more = say(lambda r: -0.02 * r, world={"noise": 0.2, "cross": lambda r: 0.3 * r})
    assert "monolingual points by the means, 95 % interval [-" in more and ": no price at all is not excluded." in more


def test_the_front_is_said_with_its_frequencies(say: Callable[..., tuple[str, str]]) -> None:
    _, more = say(lambda r: -0.1 * r)
    assert "Pareto front of monolingual MRR@10 and cross-lingual MRR@10 (in brackets the share of bootstrap" in more
    assert "on the front: r = 0 (100 %), r = 0.5 (100 %) and r = 1 (100 %)." in more


def test_losers_are_adjusted_over_the_languages(say: Callable[..., tuple[str, str]]) -> None:
    _, more = say(lambda r: -0.1 * r)
    assert (
        "**By language at r = 1**: none is shown to win; " in more
        and " lose (against r = 0, Holm over 3 languages at each ratio)." in more
    )
    assert "The first loss shows at r = 0.5 (" in more and "not adjusted" not in more
    _, more = say(lambda r: 0.0, world={"noise": 0.2}, name="noise")
    assert "none is shown to win; none is shown to lose; nothing is shown for de, en and fr" in more


def test_trained_and_unseen_languages_are_told_apart_and_are_no_languages(say: Callable[..., tuple[str, str]]) -> None:
    _, more = say(lambda r: -0.1 * r, world={"trained": ("de", "en")})
    assert "Monolingual MRR@10, trained on de and en; languages trained on: -0.0" in more
    assert (
        "; languages not trained on: -0.0" in more
        and "Cross-lingual MRR@10, trained on de and en; pairs trained on" in more
    )
    assert "Holm over 3 languages" in more and "unseen" not in more
    assert "not trained on" not in say(lambda r: -0.1 * r, name="all")[1]


def test_questions_are_counted_and_not_tested(say: Callable[..., tuple[str, str]]) -> None:
    _, more = say(lambda r: -0.1 * r)
    found = re.search(
        r"Of 150 questions, (\d+) score higher at r = 1 than at r = 0, (\d+) the same and (\d+) lower", more
    )
    assert found and sum(int(n) for n in found.groups()) == 150 and "a count, not a test" in more


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_one_or_two_seeds_claim_no_shape_price_or_winner(
    say: Callable[..., tuple[str, str]], seeds: tuple[int, ...]
) -> None:
    _, more = say(lambda r: -0.3 * r, seeds=seeds, world={"trained": ("de",)})
    are = "is 1" if len(seeds) == 1 else "are 2"
    assert f"3 seeds with every ratio are needed to say how the curve runs, and there {are}." in more
    claims = ["falls with r", "Not monotone", "costs", "Pareto front of", "lose", "on the front", "No price"]
    assert not [claim for claim in claims if claim in more]
    assert "languages not trained on: -0." in more and "interval over the questions alone" in more


def test_words_for_numbers() -> None:
    assert [signed(v) for v in (0.0004, -0.0004, -0.0126)] == ["+0.000", "+0.000", "-0.013"]
    assert [percent(v) for v in (-0.0376, -0.0001)] == ["-3.8 %", "+0.0 %"]
    assert [p_words(p) for p in (0.0002, 0.0123, 0.5)] == ["p < 0.001", "p = 0.012", "p = 0.50"]
    assert [listed(v) for v in ([0.5], [0.5, 1.0], [0.1, 0.5, 1.0])] == ["0.5", "0.5 and 1", "0.1, 0.5 and 1"]
