"""Language centring: what arithmetic does about language bias, without training.

An encoder puts passages of one language near each other, and a question scores them all higher or
lower by what it has in common with that language. With m_l the mean of the vectors of the passages
of language l that are searched, the passage p of l is searched as (p - m_l) / |p - m_l|. Questions
stay as they are, and no question or judgement is looked at.

The index is centred as by arXiv 2606.18801; Libovicky et al. (arXiv 2004.05160) centre every text,
and Yang et al. (arXiv 2109.04727) take several directions out of the vectors of a language.
"""

import numpy as np

from hybrid_sweep.retrieval.exact_scores import Vectors
from hybrid_sweep.retrieval.measures import Floats, Ints

CHUNK = 65_536  # vectors taken at a time; bounds the memory


def language_means(vectors: Vectors, language: Ints) -> Floats:
    """Return (L, D) the mean vector of each language, summed in float64.

    Args:
        vectors: (P, D) float32, mapped or in memory.
        language: (P,) the code of each, 0 to L - 1; every code occurs.
    """
    sums = np.zeros((int(language.max()) + 1, vectors.shape[1]))
    for start in range(0, len(vectors), CHUNK):
        part = vectors[start : start + CHUNK].astype(np.float64)
        codes = language[start : start + CHUNK]
        for code in np.unique(codes):
            sums[code] += part[codes == code].sum(axis=0)
    return sums / np.bincount(language)[:, None]


def centre(vectors: Vectors, language: Ints, out: Vectors) -> None:
    """Write each vector less the mean of its language, of length 1, into `out`; one that is the
    mean itself becomes 0.

    Args:
        vectors: (P, D) float32, mapped or in memory.
        language: (P,) the code of each, 0 to L - 1; every code occurs.
        out: (P, D) float32.
    """
    means = language_means(vectors, language)
    for start in range(0, len(vectors), CHUNK):
        codes = language[start : start + CHUNK]
        part = vectors[start : start + CHUNK].astype(np.float64) - means[codes]
        lengths = np.sqrt((part**2).sum(axis=1, keepdims=True))
        out[start : start + CHUNK] = np.divide(
            part, lengths, out=np.zeros_like(part), where=lengths > 0
        )
