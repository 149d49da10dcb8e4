"""What clusters of questions contribute to a mean: questions of one paragraph, article or package
are no independent samples.

The mean stays that over questions; the clusters are what is sampled. With n questions in a domain
(language or pair), m_c of them in cluster c, the mean is the ratio of two totals over clusters, and
made linear about it (Cochran 1977, chapter 6) a cluster contributes the sum of its questions'
differences to the mean, over n. These sums, one for each seed and cluster, are the y[s, c] of the
module `statistics`: a cluster takes the place of a question in all that is made of them.

Sums of deviations from an estimated mean are too small. With w_c = m_c / n, W2 and W3 the sums of
w_c squared and cubed, the sum of their squares is in expectation

    1 - W2              of the true one, where questions of a cluster have nothing in common,
    1 - 2 W3 / W2 + W2  where they are all the same,

and the second, never the larger, is divided by: the corrections that Bell and McCaffrey (2002) make
for each cluster, for all of a domain at once, so that the contributions still have its mean. Both
are (n - 1) / n where every cluster is one question.

The degrees of freedom are those of sums whose variances are as the sizes: the effective number of
clusters, n^2 over the sum of m_c^2, less one (Kish 1965). A t test on sums of unequal variances,
even on very unequal ones, rejects less often than it claims (Bakirov and Szekely 2006).

Simulated error rates: `python benchmarks/clusters.py` and docs/statistics.md.
"""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
CLUSTER = "cluster_id"  # the column of a frame of per-query rows


def contributions_of_clusters(
    values: Array, domain: Codes, group: Codes, cluster: Codes
) -> tuple[Array, float]:
    """Return what each cluster contributes to macro means, (runs, clusters), and the degrees of
    freedom of the clusters; the means are those of `statistics.contributions`.

    Args:
        values: (runs, rows).
        domain: of each row, coded 0 to L - 1.
        group: the question of each row, coded 0 to G - 1.
        cluster: of each row, coded 0 to C - 1; a question is in one.
    """
    rows = values.shape[1]
    n_clusters, n_domains = int(cluster.max()) + 1, int(domain.max()) + 1
    count = np.bincount(domain, minlength=n_domains).astype(np.float64)
    places = np.arange(rows)
    by_domain = scipy.sparse.csr_array((1.0 / count[domain], (domain, places)))
    means = (by_domain @ values.T).T
    stretch = np.sqrt(_stretch(domain, cluster, count) * (n_clusters - 1) / n_clusters)
    weight = n_clusters / n_domains / count * stretch
    by_cluster = scipy.sparse.csr_array((weight[domain], (cluster, places)))
    y = means.mean(axis=1)[:, None] + (by_cluster @ (values - means[:, domain]).T).T
    return y, _effective(group, cluster, 1.0 / count[domain]) - 1


def _stretch(domain: Codes, cluster: Codes, count: Array) -> Array:
    """Return, of each domain, the factor that the sum of squares over clusters lacks; 1 where it
    has one cluster, and so no deviation at all.
    """
    n_clusters = int(cluster.max()) + 1
    pairs, size = np.unique(domain.astype(np.int64) * n_clusters + cluster, return_counts=True)
    of_domain = pairs // n_clusters
    share = size / count[of_domain]
    squares = np.bincount(of_domain, weights=share**2)
    cubes = np.bincount(of_domain, weights=share**3)
    left = 1 - 2 * cubes / squares + squares
    several = np.bincount(of_domain) > 1
    return np.divide(1.0, left, out=np.ones_like(left), where=several)


def _effective(group: Codes, cluster: Codes, weight: Array) -> float:
    """Return the effective number of clusters: the variance of each is as the sum of its rows'
    squared weights and those of the other questions of the cluster.

    A question alone has the weight tau^2 = sum over its rows of weight^2, as in
    `statistics.contributions`; m like questions have m tau^2.
    """
    tau2 = np.bincount(group, weights=weight**2)
    of_group = np.zeros(len(tau2), dtype=np.intp)
    of_group[group] = cluster
    of_cluster = np.bincount(of_group, weights=tau2)
    return float(of_cluster.sum() ** 2 / (of_cluster**2).sum())


def effective_questions(domain: Codes, group: Codes) -> float:
    """Return the effective number of questions, which is one more than the degrees of freedom that
    `statistics.contributions` gives.
    """
    count = np.bincount(domain).astype(np.float64)
    tau2 = np.bincount(group, weights=1.0 / count[domain] ** 2)
    return float(tau2.sum() ** 2 / (tau2**2).sum())
