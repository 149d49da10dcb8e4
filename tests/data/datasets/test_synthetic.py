import numpy as np
import pyarrow.compute as pc

from hybrid_sweep.data.datasets import synthetic
from hybrid_sweep.data.pairs import pairs

SMALL = dict(groups=200, concepts=100, shared=0.2, noise=0.2, seed=0)


def test_a_pure_function_of_its_arguments():
    assert synthetic.build(**SMALL).fingerprint == synthetic.build(**SMALL).fingerprint
    for change in (
        dict(groups=201),
        dict(concepts=101),
        dict(shared=0.3),
        dict(noise=0.3),
        dict(seed=1),
    ):
        assert (
            synthetic.build(**{**SMALL, **change}).fingerprint
            != synthetic.build(**SMALL).fingerprint
        )


def test_difficulty_is_known():
    """A question's words occur in its passage but for the noise, and only shared ideas look the
    same in two languages.
    """
    built = synthetic.build(groups=800, concepts=100, shared=0.25, noise=0.2, seed=0)
    train = pairs(built, "train")
    texts = [built.queries["text"].to_pylist(), built.passages["text"].to_pylist()]

    def overlap(a: int, b: int) -> float:
        both = train.present[a] & train.present[b]
        shares = [
            np.mean([word in texts[1][p].split() for word in texts[0][q].split()])
            for q, p in zip(train.query[a, both], train.passage[b, both], strict=True)
        ]
        return float(np.mean(shares))

    same, other = overlap(0, 0), overlap(0, 1)
    assert 0.80 <= same <= 0.87  # .8, and the noise that happens to be in the passage
    assert 0.15 <= other <= 0.40 and other < same / 2


def test_every_split_is_there_and_a_group_lies_in_one():
    built = synthetic.build(**SMALL)
    assert set(pc.unique(built.queries["split"]).to_pylist()) == {"train", "dev", "test"}
    split = {}
    for table in (built.queries, built.passages):
        for group, where in zip(
            table["group"].to_pylist(), table["split"].to_pylist(), strict=True
        ):
            assert split.setdefault(group, where) == where
