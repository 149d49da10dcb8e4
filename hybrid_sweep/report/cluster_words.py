"""What a report says of clusters of questions."""

from hybrid_sweep.report.cluster_files import LEFT_OUT
from hybrid_sweep.report.clusters import CLUSTER
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.render.numbers import counted
from hybrid_sweep.utils import escaping


def clustered(sweep: Sweep) -> list[str]:
    """Return what is said of clusters of questions; [] where none are known."""
    if not sweep.clusters:
        return []
    if sweep.clusters == LEFT_OUT:
        return [
            "- Clusters: the questions are in clusters, as those of a paragraph, which are not"
            " counted here (`--clusters none`): intervals take questions for independent, and are"
            " too narrow where those of a cluster are alike."
        ]
    sizes = sweep.frame[["group_id", CLUSTER]].drop_duplicates()[CLUSTER].value_counts()
    return [
        f"- Clusters ({escaping.markdown(sweep.clusters)}): the questions of all settings are in"
        f" {counted(len(sizes), 'cluster')} of {int(sizes.min())} to {int(sizes.max())}. Means are"
        " over questions; what is sampled are clusters, so that questions of one cluster are not"
        " taken for independent: intervals, tests and resamples are over seeds and clusters"
        " (`docs/statistics.md`)."
    ]
