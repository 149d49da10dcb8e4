"""What the plan draws with: even sequences, keyed permutations and weighted choices, each a pure
function of its keys.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# Kinds are spread by the golden ratio, sources by the square root of two and stated pairs of
# languages by that of three. 1 and the three are linearly independent over the rationals, so that
# the keys fill the unit cube evenly (Weyl, 1916): each source and each pair has its share of each
# kind.
GOLDEN = (5**0.5 - 1) / 2
ROOT = 2**0.5 - 1
ROOT_3 = 3**0.5 - 1
# the golden ratio and ROOT_3 times 2^64; odd, so that no two of 2^64 keys are equal
GOLDEN_64 = 0x9E3779B97F4A7C15
ROOT_3_64 = 0xBB67AE8584CAA73B
BLOCK = 4096  # groups that are looked through at a time to find the k-th member
STRIDE = 64 * BLOCK  # groups that are counted at a time


def chosen(start: float, steps: int, count: int) -> np.ndarray:
    """Return (N,) bool: the step's key (start + i golden) mod 1 is among the `count` smallest.

    The Kronecker sequence of the golden ratio has the least discrepancy of its kind, so that the
    share is met in every window, for every count at once. For N <= 10,000 a window's count is
    within 5 of the share of its length (measured).
    """
    keys = (start + np.arange(steps) * GOLDEN) % 1.0
    selected = np.zeros(steps, dtype=bool)
    selected[np.argsort(keys, kind="stable")[:count]] = True
    return selected


def dealt(start: float, counts: Sequence[int]) -> np.ndarray:
    """Return (N,) which of several owners each step belongs to: owner i has exactly counts[i]
    steps, spread evenly.
    """
    return owners((start + np.arange(sum(counts)) * ROOT) % 1.0, counts)


def owners(keys: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Return (N,) int64 owners of N keys: the counts[0] smallest keys have owner 0, and so on."""
    owner = np.empty(len(keys), dtype=np.int64)
    owner[np.argsort(keys, kind="stable")] = np.repeat(np.arange(len(counts)), counts)
    return owner


def apportioned(shares: Sequence[float], steps: int) -> list[int]:
    """Return whole steps for each share, by largest remainder (Hamilton): they sum to `steps`, none
    is off by one or more.
    """
    quotas = np.array(shares, dtype=np.float64) / sum(shares) * steps
    counts = np.floor(quotas).astype(np.int64)
    counts[np.argsort(counts - quotas, kind="stable")[: steps - int(counts.sum())]] += 1
    return [int(count) for count in counts]


@dataclass(frozen=True)
class Even:
    """Exactly `count` of the numbers 0 to length - 1, evenly spread and nested in `count`, in no
    memory at all.

    Number e has the key start + e slope, in whole 64-bit arithmetic; chosen are those with the
    `count` smallest keys, the largest of which is `last` (-1 = none). Doubles would have ties
    beyond ten million numbers.
    """

    start: int
    last: int
    slope: int = GOLDEN_64

    @classmethod
    def of(cls, start: int, length: int, count: int, slope: int = GOLDEN_64) -> "Even":
        """Find `last` by bisection, since the number of keys below a bound has a closed form."""
        low = 0
        high = 2**64
        while low < high:  # the least bound with `count` keys below it
            middle = (low + high) // 2
            if _keys_below(start, length, middle, slope) < count:
                low = middle + 1
            else:
                high = middle
        return cls(start, low - 1, slope)

    def has(self, numbers: np.ndarray) -> np.ndarray:
        """Return bool of the shape of `numbers`: it is one of the chosen."""
        if self.last < 0:
            return np.zeros(numbers.shape, dtype=bool)
        keys = numbers.astype(np.uint64) * np.uint64(self.slope) + np.uint64(self.start)
        below: np.ndarray = keys <= np.uint64(self.last)
        return below

    def per_step(self, steps: int, size: int) -> np.ndarray:
        """Return (N,) int64: how many of the numbers step * size to (step + 1) * size - 1 are
        chosen.
        """
        at_once = max(1, 2**18 // size)
        counts = np.zeros(steps, dtype=np.int64)
        for first in range(0, steps, at_once):
            last = min(first + at_once, steps)
            inside = self.has(np.arange(first * size, last * size))
            counts[first:last] = inside.reshape(-1, size).sum(axis=1)
        return counts


@dataclass(frozen=True)
class EvenOwners:
    """Owners of the numbers 0 to length - 1: owner i has exactly counts[i] of them, evenly spread,
    in no memory at all.

    bounds: for each owner but the last one, the numbers that it and those before it have.
    """

    counts: tuple[int, ...]
    bounds: tuple[Even, ...]

    @property
    def length(self) -> int:
        """Return how many numbers are dealt."""
        return sum(self.counts)

    @classmethod
    def of(cls, start: int, counts: Sequence[int]) -> "EvenOwners":
        """Return the owners, spread by the square root of three; start: a 64-bit number."""
        length = sum(counts)
        before = np.cumsum(counts)[:-1].tolist()
        bounds = tuple(Even.of(start, length, count, ROOT_3_64) for count in before)
        return cls(tuple(counts), bounds)

    def owner(self, numbers: np.ndarray) -> np.ndarray:
        """Return int64 of the shape of `numbers`: whose each one is; numbers beyond the length
        begin again at 0.
        """
        within = numbers % self.length
        owner = np.zeros(numbers.shape, dtype=np.int64)
        for bound in self.bounds:
            owner += ~bound.has(within)
        return owner

    def count(self, numbers: int) -> np.ndarray:
        """Return (owners,) int64: how many of the numbers 0 to `numbers` - 1 each one has."""
        counts = np.array(self.counts, np.int64)
        periods, rest = divmod(numbers, max(1, self.length))
        total = counts * periods
        for begin in range(0, rest, STRIDE):
            part = np.arange(begin, min(begin + STRIDE, rest))
            total += np.bincount(self.owner(part), minlength=len(total))
        return total


def _keys_below(start: int, length: int, bound: int, slope: int) -> int:
    """Return how many of the keys (start + e slope) mod 2^64, e < length, lie below `bound` (0 to
    2^64).
    """
    # floor(x / m) - floor((x - bound) / m) is 1 where x mod m < bound, else 0; m is added to keep
    # the second one positive.
    whole = 2**64
    shifted = _floor_sum(length, whole, slope, start - bound + whole)
    return length + _floor_sum(length, whole, slope, start) - shifted


def _floor_sum(length: int, modulus: int, slope: int, offset: int) -> int:
    """Return the sum over i < length of floor((slope i + offset) / modulus), by Euclid's steps
    (Graham, Knuth, Patashnik, 3.5).
    """
    total = 0
    while length > 0:
        total += length * (length - 1) // 2 * (slope // modulus) + length * (offset // modulus)
        slope, offset = slope % modulus, offset % modulus
        top = slope * length + offset
        length, offset, slope, modulus = top // modulus, top % modulus, modulus, slope
    return total


@dataclass(frozen=True)
class Members:
    """The groups that exist in both languages of at least one pair of languages, or in all of some
    rows, without a list of them.

    present: (L, G) bool. rows: the languages of the pairs. joined: (len(rows), len(rows)) bool,
    symmetric: their pairs; None where a member must be present in all rows. before: (blocks + 1,)
    how many members come before each block of groups.
    """

    present: np.ndarray
    rows: np.ndarray
    joined: np.ndarray | None
    before: np.ndarray

    @classmethod
    def of(cls, present: np.ndarray, pairs: np.ndarray) -> "Members":
        """Return the members; pairs: (L, L) bool, symmetric; the diagonal stands for all groups of
        a language.
        """
        rows = np.flatnonzero(pairs.any(axis=1))
        joined = None
        if np.triu(pairs).sum() != 1:
            joined = pairs[np.ix_(rows, rows)]
        return cls._counted(present, rows, joined)

    @classmethod
    def of_all(cls, present: np.ndarray, rows: Iterable[int]) -> "Members":
        """Return the groups that are present in all of these rows."""
        return cls._counted(present, np.array(sorted(rows), np.int64), None)

    @classmethod
    def _counted(
        cls, present: np.ndarray, rows: np.ndarray, joined: np.ndarray | None
    ) -> "Members":
        made = cls(present, rows, joined, np.zeros(1, np.int64))
        counts = [np.zeros(1, np.int64)]
        for first in range(0, present.shape[1], STRIDE):
            inside = made._inside(first, STRIDE)
            counts.append(np.add.reduceat(inside, np.arange(0, len(inside), BLOCK), dtype=np.int64))
        return cls(present, rows, joined, np.cumsum(np.concatenate(counts)))

    def __len__(self) -> int:
        return int(self.before[-1])

    def take(self, places: np.ndarray) -> np.ndarray:
        """Return (n,) int64: the members at these places in the sorted list of all of them."""
        if len(self) == self.present.shape[1]:
            return places
        groups = np.empty(len(places), dtype=np.int64)
        order = np.argsort(places, kind="stable")
        block_of = np.searchsorted(self.before, places[order], side="right") - 1
        blocks, starts = np.unique(block_of, return_index=True)
        for block, mine in zip(blocks.tolist(), np.split(order, starts)[1:], strict=True):
            inside = np.flatnonzero(self._inside(block * BLOCK, BLOCK))
            groups[mine] = block * BLOCK + inside[places[mine] - self.before[block]]
        return groups

    def _inside(self, first: int, count: int) -> np.ndarray:
        here = self.present[self.rows, first : first + count]
        if self.joined is None:
            return np.asarray(here.all(axis=0))
        partners = self.joined.astype(np.float32) @ here.astype(np.float32)
        return np.asarray((here & (partners > 0)).any(axis=0))


def permute(places: np.ndarray, size: int, key: np.random.SeedSequence) -> np.ndarray:
    """Return where a keyed permutation of range(size) sends the given places; no memory beyond the
    places.

    A balanced Feistel network of eight rounds on the next even power of two, walked until it falls
    inside the range (Black and Rogaway, 2002, "Ciphers with arbitrary finite domains").
    """
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    rounds = key.generate_state(8, np.uint64)
    values = np.asarray(places).astype(np.uint64)
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        left = values[outside] >> half
        right = values[outside] & mask
        for secret in rounds:
            left, right = right, left ^ (mix(right ^ secret) & mask)
        values[outside] = (left << half) | right
        outside = values >= size
    return values.astype(np.int64)


def mix(words: np.ndarray) -> np.ndarray:
    """Return the finaliser of splitmix64 (Steele, Lea and Flood, 2014): every input bit reaches
    every output bit.
    """
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


def key_salt(groups: np.ndarray, key: Sequence[int]) -> np.ndarray:
    """Return (B,) uint64 a word of each group and the key, the words of a SeedSequence."""
    secrets = np.random.SeedSequence(list(key)).generate_state(2, np.uint64)
    return np.asarray(mix(groups.astype(np.uint64) ^ secrets[0]) ^ secrets[1])


def word(name: str) -> int:
    """Return a 64-bit number for a name, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def weighted(uniform: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (N,) index drawn by each row's weights, by inversion; a row of weights serves all
    draws where there is one.
    """
    cumulative = np.cumsum(weights, axis=1)
    # The last positive weight is the limit: rounding must not push a draw onto an index of weight
    # zero behind it.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    passed = (uniform[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=1)
    drawn: np.ndarray = np.minimum(passed, last)
    return drawn


def ordinals(labels: np.ndarray) -> np.ndarray:
    """Return (N,) how many earlier entries equal each entry."""
    order = np.argsort(labels, kind="stable")
    ordinal = np.empty(len(labels), dtype=np.int64)
    starts = np.searchsorted(labels[order], labels[order], side="left")
    ordinal[order] = np.arange(len(labels)) - starts
    return ordinal
