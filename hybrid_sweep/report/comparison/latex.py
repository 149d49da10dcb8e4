"""comparison.tex: the sweeps one under the other for a paper."""

from hybrid_sweep.report.comparison.ratio_table import ratio_table
from hybrid_sweep.report.comparison.table import Comparison
from hybrid_sweep.report.render import latex as render
from hybrid_sweep.utils import escaping


def _caption(comparison: Comparison) -> str:
    on = f" on {escaping.latex(comparison.on)}" if comparison.on else ""
    margins = sorted({sweep.margin for sweep in comparison.sweeps})
    about = "Mono" if comparison.has_monolingual else "Cross"
    note = (
        f"Sweeps over the share $r$ of cross-lingual batches{on}. Mono and Cross:"
        f" {escaping.latex(comparison.measures.title)} within a language and across languages; mAP,"
        " Same, Dist.: pool of all languages. $\\Delta$:"
        " paired change to the sweep's own $r=0$, 90\\,\\% interval. V: verdict at the sweep's"
        f" margin ({', '.join(f'{margin:g}' for margin in margins)}): S superior, N non-inferior, I"
        " inconclusive, D degraded, U untested; bold: largest ratio still non-inferior. $n_m$,"
        " $n_c$: monolingual and cross-lingual examples of a run, thousands. $\\Delta_1$:"
        f" {about} minus that of the first sweep; $\\Delta\\Delta_1$: its change minus that of the"
        " first sweep. ${}^{*}$: a level that differs from the sweep's own $r=0$, or a difference"
        " that is not 0, at 5\\,\\% (Holm); --: not tested."
    )
    if any("conditional" in set(results["delta_interval"]) for results in comparison.results):
        note += " ${}^{\\dagger}$: over questions only, too few seeds."
    gone = sum(len(sweep.missing) for sweep in comparison.sweeps)
    if gone:
        points = sum(len(sweep.points) for sweep in comparison.sweeps)
        note += f" {gone} of {points} points are missing."
    return note


def latex(comparison: Comparison) -> str:
    """Return the text of comparison.tex: a block of lines per sweep, each under its name."""
    label = " ".join((*comparison.names, comparison.on))
    paper = render.Paper(_caption(comparison), label, apart=3)
    return render.latex(ratio_table(comparison), paper)
