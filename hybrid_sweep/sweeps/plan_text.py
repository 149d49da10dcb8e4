"""The plan of a sweep, and what came of it, as lines of text."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from hybrid_sweep.batching.schedule import Plan
from hybrid_sweep.config.schema import BatchConfig, Config, LossConfig, steps_of
from hybrid_sweep.models import half_precision
from hybrid_sweep.sweeps import forecast
from hybrid_sweep.sweeps.point_list import Point, State
from hybrid_sweep.utils import terminal_lines
from hybrid_sweep.utils.escaping import one_line
from hybrid_sweep.utils.units import duration


def count(points: int) -> str:
    """Return `1 point`, `2 points`."""
    return f"{points} point{'s' * (points != 1)}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of words as lines with aligned columns, no wider than the terminal."""
    shown = [[one_line(word) for word in row] for row in rows]
    return terminal_lines.folded(shown, terminal_lines.width())


def plan_lines(
    points: Sequence[Point], states: Sequence[State], plans: Mapping[str, Plan]
) -> list[str]:
    """Return the plan of a sweep: every point with its state and the reason, its steps of each kind
    and its overrides.

    plans: by run id, for the points whose batches are planned; what their plans leave out is listed
    below the table.
    """
    lines = []
    for folder in dict.fromkeys(point.sweep_dir for point in points):
        ours, of_ours = [], []
        for point, state in zip(points, states, strict=True):
            if point.sweep_dir == folder:
                ours.append(point)
                of_ours.append(state)
        common = _common(ours)
        times = forecast.seconds(ours, of_ours)
        lines += _heading(folder, ours)
        if told := _told(ours, common):
            lines.append(f"all with {' '.join(told)}")
        rows = list(zip(ours, of_ours, strict=True))
        lines += table(_plan_rows(rows, plans, times, common))
        lines += _notes(plans, ours)
        lines += forecast.time_lines(ours, times)
    return lines


def _common(points: Sequence[Point]) -> list[str]:
    """Return the overrides that all points have.

    The untrained points have fewer words, since they depend on fewer: they count where no point is
    trained.
    """
    words = [point.overrides for point in points if point.kind == "trained"]
    words = words or [points[0].overrides]
    return [word for word in words[0] if all(word in other for other in words)]


def _told(points: Sequence[Point], common: Sequence[str]) -> list[str]:
    """Return the overrides of all points that are shown.

    A ratio given to points of several ratios was replaced by c/(1+c): to show it would only
    mislead.
    """
    ratios = {point.place[1] for point in points if point.kind == "trained"}
    if len(ratios) < 2:
        return list(common)
    return [word for word in common if not word.startswith("batch.cross_lingual_ratio=")]


def _plan_rows(
    ours: Sequence[tuple[Point, State]],
    plans: Mapping[str, Plan],
    times: Mapping[str, float | None],
    common: Sequence[str],
) -> list[tuple[str, ...]]:
    """Return the table of a plan, its head first: a row for each point."""
    head = ("state", "point", "steps: mono + cross", "time", "run id", "why", "overrides")
    rows: list[tuple[str, ...]] = [head]
    for point, state in ours:
        plan = plans.get(point.run_id)
        if plan:
            steps = _steps(plan)
        else:
            steps = str(steps_of(point.config))
        own = " ".join(word for word in point.overrides if word not in common)
        needed = ""
        if state.name != "done":
            left = times[point.run_id]
            if left is None:
                needed = "unknown"
            else:
                needed = duration(left)
        rows.append(
            (state.shown, point.label, steps, needed, point.run_id, state.reason[:100], own)
        )
    return rows


def _heading(folder: Path, points: Sequence[Point]) -> list[str]:
    """Return what stands above the table of a plan: the sweep, its data and models, and what it is
    evaluated on besides.
    """
    config = points[0].config
    name = config.sweep.name
    margin = config.sweep.margin
    measure = "MRR@10" if config.sweep.primary == "RR@10" else config.sweep.primary
    lines = [f"sweep {name}: {count(len(points))}, margin {margin:g} {measure}, in {folder}"]
    lines += _margin_note(margin)
    marks = []
    for point in points:
        data = point.config.data
        model = point.config.model
        marked = point.fingerprints
        marks.append(
            f"data {data.name} {' '.join(data.languages)} ({marked['collection']}), model"
            f" {model.name} ({marked['model']})"
        )
    lines += dict.fromkeys(marks)
    further = []
    for name, data in sorted(config.eval.also.items()):
        further.append(f"{name} ({data.name} {' '.join(data.languages)})")
    for name, data in {config.data.name: config.data, **config.eval.also}.items():
        if sizes := ", ".join(f"{size:,}" for size in sorted(set(data.pools))):
            further.append(f"pools of {name} with {sizes} passages per language")
    if further:
        lines.append(f"evaluated on it and on {', '.join(further)}")
    return lines


def _margin_note(margin: float) -> list[str]:
    """Return a warning of a margin that no ratio can pass, or hardly one can fail."""
    if margin == 0:
        return [
            "warning: with a margin of 0 no share can be called non-inferior; state in sweep.margin"
            " the loss that counts as none"
        ]
    if margin >= LARGE_MARGIN:
        return [
            f"warning: hardly any loss is larger than a margin of {margin:g}, since no measure"
            " exceeds 1; state in sweep.margin the loss that counts as none"
        ]
    return []


def _steps(plan: Plan) -> str:
    """Return `7 + 3` steps of each kind; where a step has both kinds, `10 of both: 112 + 48
    examples`.
    """
    cross = int(plan.n_cross.sum())
    if ((plan.n_cross > 0) & (plan.n_cross < plan.batch_size)).any():
        return f"{len(plan)} of both: {len(plan) * plan.batch_size - cross} + {cross} examples"
    steps = cross // plan.batch_size
    return f"{len(plan) - steps} + {steps}"


def _notes(plans: Mapping[str, Plan], points: Sequence[Point]) -> list[str]:
    """Return what holds of several points: budget, composition, negatives, the sources' steps, and
    what the plans give up.
    """
    planned = []
    notes = []
    left_out = []
    for point in points:
        plan = plans.get(point.run_id)
        if plan is not None:
            planned.append(plan)
            notes += _batch_notes(point.config.batch)
            notes += _loss_notes(point.config)
            notes += half_precision.note(point.config)
            left_out += _left_out(point.config.batch, plan)
    mixed = any((plan.n_cross < plan.batch_size).any() for plan in planned)
    for plan in planned:
        notes += _pair_notes(plan, mixed)
    return list(dict.fromkeys([*notes, *_source_steps(planned), *left_out]))


LARGE_MARGIN = 0.25  # of measures that are at most 1

SCHEDULES = {
    "rising": "the share rises linearly from r - m to r + m, m = min(r, 1 - r)",
    "falling": "the share falls linearly from r + m to r - m, m = min(r, 1 - r)",
    "cross_first": "all that is cross-lingual comes first",
    "mono_first": "all that is monolingual comes first",
}


NEGATIVES = {
    "passage": "",
    "query": ", in the language of the query",
    "mixed": ", in mixed languages where the pair is cross-lingual",
}


def _batch_notes(batch: BatchConfig) -> list[str]:
    """Return what the settings of a batch mean where they are not the usual ones."""
    notes = []
    if batch.budget == "fixed_monolingual":
        notes.append(
            "batch.budget=fixed_monolingual: the monolingual steps of all points are the same,"
            " ratio is c/(1+c)"
        )
    if batch.composition == "per_example":
        notes.append("batch.composition=per_example: each example draws its own languages")
    if batch.composition == "per_language":
        notes.append(
            "batch.composition=per_language: each question of a batch stands in a pair with each of"
            " its passage languages"
        )
    if batch.ratio_schedule != "constant":
        meaning = SCHEDULES[batch.ratio_schedule]
        notes.append(f"batch.ratio_schedule={batch.ratio_schedule}: {meaning}")
    if batch.code_switch.share:
        notes.append(
            f"batch.code_switch.share={batch.code_switch.share:g}: of the words of the queries, by"
            f" the lexicons {', '.join(sorted(batch.code_switch.lexicon))}"
        )
    if batch.hard_negatives:
        notes.append(
            f"batch.hard_negatives={batch.hard_negatives}: passages per query besides those in"
            f" the batch{NEGATIVES[batch.negatives_language]}"
        )
    return notes


def _loss_notes(config: Config) -> list[str]:
    """Return what a step minimises where that is not InfoNCE alone."""
    loss = config.loss
    if loss == LossConfig():
        return []
    first = config.trainer.loss or "InfoNCE"
    parts = {first: loss.infonce, "InfoNCE of passages over queries": loss.symmetric}
    aligned = f"alignment of {loss.alignment.of} ({loss.alignment.divergence})"
    parts[aligned] = loss.alignment.weight
    over = loss.distillation.over.replace("_", " ")
    taught = f"distillation from a teacher's scores of {over} ({loss.distillation.loss})"
    parts[taught] = loss.distillation.weight
    told = [f"{weight:g} x {name}" for name, weight in parts.items() if weight]
    return [f"the loss is {' + '.join(told)}"]


# Pairs that are counted one by one; of more, the least and the most.
SHOWN_PAIRS = 60
WIDTH = 99


def _pair_notes(plan: Plan, mixed: bool) -> list[str]:
    """Return how many steps or examples each stated pair has, in lines of at most WIDTH characters;
    where some plan has others than cross-lingual ones (`mixed`), also what these are.
    """
    if not plan.pairs:
        return []
    counts = [f"{a}-{b} {count:,}" for (a, b), count in plan.pairs.items()]
    if len(counts) > SHOWN_PAIRS:
        least, most = min(plan.pairs.values()), max(plan.pairs.values())
        counts = [f"{len(counts)} pairs with {least:,} to {most:,} each"]
    kind = "steps" if plan.cross is None else "examples"
    text = f"{kind} of each pair (query-passage), at every ratio: {', '.join(counts)}"
    if mixed:
        text += _of_monolingual(plan)
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _of_monolingual(plan: Plan) -> str:
    """Return in which language the monolingual steps of the stated pairs are."""
    own = [pair for pair in plan.pairs if pair not in {(a, b) for *_, a, b in plan.moved}]
    text = "; not cross-lingual, they are"
    if own and plan.moved:
        moved = ", ".join("-".join(pair[-2:]) for pair in plan.moved)
        return f"{text} in the query language, but of {moved} in the passage language"
    if own:
        return f"{text} in the query language"
    return f"{text} in the passage language"


def _left_out(batch: BatchConfig, plan: Plan) -> list[str]:
    """Return the pairs of languages that a plan leaves out, and that monolingual steps may use
    other groups.
    """
    lines = []
    for *source, a, b in sorted(plan.left_out):
        where = ""
        if source:
            where = f" of {source[0]}"
        shared = (
            f"share {plan.left_out[*source, a, b]} training groups, fewer than"
            f" batch.size={batch.size}"
        )
        lines.append(f"left out: {a}-{b}{where}, which {shared}")
    if batch.groups == "all" and batch.budget == "fixed_total":
        lines.append(
            "batch.groups=all: monolingual steps use groups of one language too, so that the"
            " questions of different ratios are not the same"
        )
    return lines


def _source_steps(plans: Sequence[Plan]) -> list[str]:
    """Return `steps of debian + mmarco: 100 + 300 (25 % + 75 %)`, each distinct one once; nothing
    where there is one source.
    """
    lines: dict[str, None] = {}
    for plan in plans:
        if len(plan.sources) > 1 and len(plan):
            steps = [int((plan.source == index).sum()) for index in range(len(plan.sources))]
            shares = " + ".join(f"{100 * count / len(plan):.3g} %" for count in steps)
            lines[
                f"steps of {' + '.join(plan.sources)}: {' + '.join(map(str, steps))} ({shares})"
            ] = None
    return list(lines)


def cost_lines(points: Sequence[Point], states: Sequence[State]) -> list[str]:
    """Return what the points without a result will need on disk and in GPU-hours, each run once."""
    waiting = {}
    for point, state in zip(points, states, strict=True):
        if state.name != "done":
            waiting[point.run_id] = point.config
    if waiting:
        return forecast.cost_lines(list(waiting.values()))
    return []


def failure_lines(
    points: Sequence[Point], states: Sequence[State], logs: Sequence[Sequence[str]]
) -> list[str]:
    """Return a table of the points without a result, and the last lines of the log of each that
    failed.
    """
    rows: list[tuple[str, ...]] = [("state", "point", "run id", "why")]
    for point, state in zip(points, states, strict=True):
        rows.append((state.shown, point.label, point.run_id, state.reason))
    lines = table(rows)
    for point, state, log in zip(points, states, logs, strict=True):
        if state.name == "failed":
            lines += [f"the end of {point.run_dir / 'log.txt'}:", *(f"    {line}" for line in log)]
    return lines
