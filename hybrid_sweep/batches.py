"""The plan of a run's batches: a pure function of (seed, step), nested in the cross-lingual ratio.

Step i has a key, an ordered language pair (a, b) and the groups of a batch, all drawn from the seed alone. Its queries
are in a; its passages are in b if its key is among the round(r N) smallest of the N steps, else in a. Raising r therefore
changes the passage language of the newly converted steps and nothing else: a sweep over r is a paired experiment.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from hybrid_sweep.errors import UserError

# Independent random streams of a seed: SeedSequence([seed, stream, ...]) never collides for neighbouring seeds.
LANGUAGES, KEYS, WALK, WEIGHTS, DROPOUT = range(5)
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Plan:
    """The batches of a run of N steps over L languages and G groups.

    languages: (L,) codes. members: for each unordered pair of language indices (a <= b), the indices of the groups that
    a batch of that pair walks. first, second: (N,) language index of a_i and b_i. cross: (N,) bool. walk: (N, 2) the
    pair of `members` that step i walks; ordinal: (N,) how many earlier steps walked the same one. left_out: pairs that
    share fewer groups than a batch needs, with their counts.
    """

    seed: int
    batch_size: int
    languages: tuple[str, ...]
    members: dict[tuple[int, int], np.ndarray]
    first: np.ndarray
    second: np.ndarray
    cross: np.ndarray
    walk: np.ndarray
    ordinal: np.ndarray
    left_out: dict[tuple[str, str], int]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def query_language(self) -> np.ndarray:
        """(N,) index of the language of the queries of each step."""
        return self.first

    @property
    def passage_language(self) -> np.ndarray:
        """(N,) index of the language of the passages of each step."""
        return np.where(self.cross, self.second, self.first)

    def groups(self, step: int) -> np.ndarray:
        """(B,) distinct group indices of a step, in batch order; the same at every ratio (unless groups="all")."""
        pair = (int(self.walk[step, 0]), int(self.walk[step, 1]))
        members = self.members[pair]
        per_pass = len(members) // self.batch_size
        lap, batch = divmod(int(self.ordinal[step]), per_pass)
        name = "|".join(sorted({self.languages[pair[0]], self.languages[pair[1]]}))
        key = np.random.SeedSequence([self.seed, WALK, _word(name), lap])
        places = np.arange(batch * self.batch_size, (batch + 1) * self.batch_size)
        found: np.ndarray = members[permute(places, len(members), key)]
        return found


def make_plan(
    present: np.ndarray,
    languages: list[str],
    *,
    seed: int,
    steps: int,
    batch_size: int,
    ratio: float,
    language_exponent: float = 0.0,
    partner: str = "uniform",
    pivot: str | None = None,
    groups: str = "shared",
) -> Plan:
    """The plan of a run.

    present: (L, G) bool, the group exists in the language. ratio: r; exactly round(r N) of N steps are cross-lingual.
    Raises UserError where no pair of languages (or, with one language, the language) shares batch_size groups.
    """
    count = len(languages)
    shared = present.astype(np.float32) @ present.T.astype(np.float32)  # (L, L), exact below 2^24 groups
    sizes = np.diag(shared).astype(np.int64)
    allowed = (shared >= batch_size) & ~np.eye(count, dtype=bool) if count > 1 else shared >= batch_size
    left_out = {
        (languages[a], languages[b]): int(shared[a, b])
        for a in range(count)
        for b in range(a + 1, count)
        if not allowed[a, b]
    }
    if partner == "pivot":
        is_pivot = np.array([language == pivot for language in languages])
        allowed = allowed & (is_pivot[:, None] | is_pivot[None, :])
    if not allowed.any():
        most = int(np.where(np.eye(count, dtype=bool) & (count > 1), 0, shared).max(initial=0))
        where = "any two of the languages" if count > 1 else f"language {languages[0]}"
        raise UserError(
            f"batch.size={batch_size}: {where} share at most {most} training groups; "
            f"take batch.size={most} or less, or other data.languages"
        )

    draws = np.random.default_rng(np.random.SeedSequence([seed, LANGUAGES])).random((steps, 2))
    usable = allowed.any(axis=1)
    weight = np.where(usable, np.maximum(sizes, 1).astype(float) ** language_exponent, 0.0)
    first = _draw(draws[:, 0], weight[None, :])
    partners = allowed * (shared if partner == "size" else 1.0)
    second = _draw(draws[:, 1], partners[first])

    start = np.random.default_rng(np.random.SeedSequence([seed, KEYS])).random()
    cross = chosen(start, steps, ratio)
    # A monolingual step walks the groups of {a, b} too: that is what makes the questions of all ratios the same.
    walk = np.sort(np.stack([first, second], axis=1), axis=1)
    if groups == "all":
        walk = np.where(cross[:, None], walk, first[:, None])
    pairs, inverse = np.unique(walk, axis=0, return_inverse=True)
    members = {(int(a), int(b)): np.flatnonzero(present[a] & present[b]) for a, b in pairs}
    return Plan(
        seed, batch_size, tuple(languages), members, first, second, cross, walk, _ordinals(inverse.ravel()), left_out
    )


def chosen(start: float, steps: int, ratio: float) -> np.ndarray:
    """(N,) bool: the step's key (start + i golden) mod 1 is among the round(ratio N) smallest.

    The Kronecker sequence of the golden ratio has the least discrepancy of its kind, so that the share is met in every
    window, for every ratio at once. For N <= 10,000 a window's count is within 5 of ratio times its length (measured).
    """
    keys = (start + np.arange(steps) * GOLDEN) % 1.0
    selected = np.zeros(steps, dtype=bool)
    selected[np.argsort(keys, kind="stable")[: round(ratio * steps)]] = True
    return selected


def permute(places: np.ndarray, size: int, key: np.random.SeedSequence) -> np.ndarray:
    """Where a keyed permutation of range(size) sends the given places; no memory beyond the places.

    A balanced Feistel network of eight rounds on the next even power of two, walked until it falls inside the range
    (Black and Rogaway, 2002, "Ciphers with arbitrary finite domains").
    """
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    rounds = key.generate_state(8, np.uint64)
    values = np.asarray(places).astype(np.uint64)
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        left, right = values[outside] >> half, values[outside] & mask
        for secret in rounds:
            left, right = right, left ^ (_mix(right ^ secret) & mask)
        values[outside] = (left << half) | right
        outside = values >= size
    return values.astype(np.int64)


def _mix(words: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014): every input bit reaches every output bit."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


def _word(name: str) -> int:
    """A 64-bit number for a name, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _draw(uniform: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) index drawn by each row's weights, by inversion; a row of weights serves all draws where there is one."""
    cumulative = np.cumsum(weights, axis=1)
    # The last positive weight is the limit: rounding must not push a draw onto an index of weight zero behind it.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    drawn: np.ndarray = np.minimum((uniform[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=1), last)
    return drawn


def _ordinals(labels: np.ndarray) -> np.ndarray:
    """(N,) how many earlier entries equal each entry."""
    order = np.argsort(labels, kind="stable")
    ordinal = np.empty(len(labels), dtype=np.int64)
    starts = np.searchsorted(labels[order], labels[order], side="left")
    ordinal[order] = np.arange(len(labels)) - starts
    return ordinal
