"""Float32 products and nearest neighbours, by numpy and Faiss or by torch on a device: they
propose, scores decide.

Their error is at most that of a float32 product summed in any order
(`exact_scores.float32_band`): no TF32, no half precision.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from hybrid_sweep.retrieval.exact_scores import BLOCK, Vectors
from hybrid_sweep.retrieval.measures import Ints
from hybrid_sweep.utils.errors import UserError

PASSAGE_CHUNK = 16384
NO_FAISS = (
    "Faiss is not installed: pip install 'hybrid-sweep[cpu]', or 'hybrid-sweep[gpu]' on a CUDA"
    " machine (one of the two, never both)"
)


@dataclass(frozen=True)
class Products:
    """How products are made; no rank and no list depends on it.

    device: torch's name for one; None: numpy and Faiss. query_chunk, passage_chunk: lines and
    columns of a tile. margin: candidates that `top_lists.top_k` takes beyond k, at least.
    """

    device: str | None = None
    query_chunk: int = 1024
    passage_chunk: int = PASSAGE_CHUNK
    margin: int = 32


BY_NUMPY = Products()


def multiplier(passages: Vectors, device: str | None, most: int) -> Callable[[Vectors], Vectors]:
    """Return what gives the products (Q, P) of up to `most` queries with these passages, to be read
    before the next ones.

    device: torch's name for one, None for numpy.
    """
    if device is None:
        # One memory for all products: new pages for each would take a third of the time.
        room = np.empty((most, len(passages)), np.float32)
        return lambda queries: np.matmul(queries, passages.T, out=room[: len(queries)])
    import torch

    # a copy: torch warns of sharing what is mapped read-only
    stored = torch.tensor(passages, device=device).T

    def multiply(queries: Vectors) -> Vectors:
        with _full_precision(torch):
            return np.asarray(
                (torch.tensor(queries, device=device) @ stored).cpu().numpy(), np.float32
            )

    return multiply


def nearest(
    queries: Vectors, passages: Vectors, k: int, pool: Ints | None = None, device: str | None = None
) -> tuple[Vectors, Ints]:
    """Return (Q, k) the largest products, descending, and the row numbers of their passages: of
    all, or of the rows in `pool`.

    What is not among them has no larger product. A row number is -1 where products are not numbers.
    k is at most P. The whole is searched where it lies; a pool is copied a block at a time. Raises
    UserError where Faiss is not installed.
    """
    if pool is None:
        total = len(passages)
    else:
        total = len(pool)
    step = BLOCK
    if pool is None and device is None:
        step = total
    value: Vectors = np.zeros((len(queries), 0), np.float32)
    row: Ints = np.zeros((len(queries), 0), np.int64)
    for start in range(0, total, max(1, step)):
        rows = np.arange(start, min(start + step, total))
        if pool is not None:
            rows = pool[rows]
        whole = step == total and pool is None
        if whole:
            block = passages
        else:
            block = np.ascontiguousarray(passages[rows])
        products, place = _search(queries, block, min(k, len(block)), device)
        place = np.where(place >= 0, rows[place], -1)
        value = np.concatenate([value, products], axis=1)
        row = np.concatenate([row, place], axis=1)
        if value.shape[1] > products.shape[1]:  # of several blocks the best
            order = np.argsort(-value, axis=1, kind="stable")[:, :k]
            value = np.take_along_axis(value, order, axis=1)
            row = np.take_along_axis(row, order, axis=1)
    return value, row


def _search(
    queries: Vectors, passages: Vectors, k: int, device: str | None
) -> tuple[Vectors, Ints]:
    if device is None:
        # What IndexFlatIP runs, without its copy of the passages.
        library = faiss()
        lists: tuple[Vectors, Ints] = library.knn(
            queries, passages, k, metric=library.METRIC_INNER_PRODUCT
        )
        return lists
    import torch

    with _full_precision(torch):
        products = torch.tensor(queries, device=device) @ torch.tensor(passages, device=device).T
    value, place = products.topk(k, dim=1)
    return value.cpu().numpy(), place.cpu().numpy()


@contextmanager
def _full_precision(torch: ModuleType) -> Iterator[None]:
    """Switch TF32 off, whatever the training has set: its ten bits are far outside the proven
    error.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def faiss() -> ModuleType:
    """Return the module, imported late: in one process torch must come before it, and few verbs
    need it.
    """
    try:
        import faiss
    except ImportError as error:
        raise UserError(NO_FAISS, key="install.faiss") from error
    return faiss
