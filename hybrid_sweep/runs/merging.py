"""The weights of runs that began alike, averaged: their saved models, file by file. No torch.

    w = c_1 w_1 + ... + c_n w_n,    c_i >= 0, sum of c_i = 1,

summed in float64 and rounded once, to the type in which the models are stored. A saved model holds
the weights that encode: the whole embedding table, where training kept the used rows alone, and
adapters added into their layers. So nothing else has to be put together here. Tied weights are
stored once, and stay tied.

Two models: Frankle et al. (2020, arXiv 1912.05671). Several: Wortsman et al. (2022, arXiv
2203.05482). Of cross-lingual retrieval: Jang et al. (2025, arXiv 2507.08480).
"""

import filecmp
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hybrid_sweep.models import stated
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir

BLOCK = 2**22  # numbers that are summed at a time: bounds the memory beside the weights
WEIGHTS = ".safetensors"
State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Mixture:
    """What an average is made of: the ratios of its parents, ascending, and the share of each."""

    ratios: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def alpha(self) -> float:
        """Return the share of the higher one of two parents; NaN where there are more."""
        return self.shares[1] if len(self.shares) == 2 else math.nan

    @property
    def mean_ratio(self) -> float:
        """Return the mean of the ratios, by their shares."""
        return math.fsum(r * s for r, s in zip(self.ratios, self.shares, strict=True))

    @property
    def is_parent(self) -> bool:
        """Return whether all weight is on one parent."""
        return max(self.shares) == 1

    @property
    def label(self) -> str:
        """Return the average in words."""
        ratios = ", ".join(f"{ratio:g}" for ratio in self.ratios)
        if len(self.ratios) == 2:
            return f"alpha {self.alpha:g} of r = {ratios}"
        if len(set(self.shares)) == 1:
            return f"mean of r = {ratios}"
        return f"mean of r = {ratios} by {', '.join(f'{share:g}' for share in self.shares)}"


def averaged(states: Sequence[State], shares: Sequence[float]) -> dict[str, NDArray[Any]]:
    """Return the weighted mean of state dicts.

    A state whose share is 1 comes back bit for bit, and one whose share is 0 does not enter.

    Args:
        states: of models of one architecture: the same names, shapes and types.
        shares: one for each state, from 0 to 1, together 1.

    Raises:
        UserError: where names, shapes or types differ, and where numbers that are not floating do.
    """
    names = list(states[0])
    for other in states[1:]:
        if set(other) != set(names):
            name = sorted(set(other) ^ set(names))[0]
            raise UserError(
                f"the models have other weights, as {name}: only models of one architecture can be"
                " averaged",
                key="merge.architecture",
            )
    return {name: _mean(name, [state[name] for state in states], shares) for name in names}


def _mean(name: str, arrays: Sequence[NDArray[Any]], shares: Sequence[float]) -> NDArray[Any]:
    """Return the weighted mean of arrays of one shape and type; see `averaged`."""
    first = arrays[0]
    for other in arrays[1:]:
        if other.shape != first.shape or other.dtype != first.dtype:
            raise UserError(
                f"the weights {name} are {first.dtype} {first.shape} and {other.dtype}"
                f" {other.shape}: only models of one architecture can be averaged",
                key="merge.architecture",
            )
    if not np.issubdtype(first.dtype, np.floating):
        if any(not np.array_equal(first, other) for other in arrays[1:]):
            raise UserError(
                f"{name} holds other whole numbers in each model, and these have no mean",
                key="merge.not_floating",
            )
        return first
    entering = [place for place, share in enumerate(shares) if share != 0]
    if len(entering) == 1:
        return arrays[entering[0]]
    result = np.empty(first.shape, first.dtype)
    flat = result.reshape(-1)
    rows = [arrays[place].reshape(-1) for place in entering]
    for start in range(0, first.size, BLOCK):
        part = slice(start, start + BLOCK)
        total = np.zeros(len(flat[part]), np.float64)
        for place, row in zip(entering, rows, strict=True):
            total += shares[place] * row[part].astype(np.float64)
        flat[part] = total
    return result


def difference(first: Path, second: Path) -> str:
    """Return in a few words what keeps two saved models from being averaged; "" for nothing.

    All files but the weights must be equal: architecture, tokenizer, pooling and prompts. No weight
    is read, only the names, shapes and types of all.
    """
    files = _files(first)
    others = _files(second)
    if files != others:
        return f"one model alone has the file {sorted(set(files) ^ set(others))[0]}"
    for name in files:
        if name.endswith(WEIGHTS):
            told = _other_tensors(_header(first / name), _header(second / name))
            if told:
                return told
        elif not _same(first / name, second / name):
            return f"the files {name} differ"
    return ""


def _same(first: Path, second: Path) -> bool:
    """Return whether two files say the same; words of no effect do not count."""
    if filecmp.cmp(first, second, shallow=False):
        return True
    words = stated.meaning(first)
    return words is not None and words == stated.meaning(second)


def _other_tensors(first: Mapping[str, str], second: Mapping[str, str]) -> str:
    for name in sorted({**first, **second}):
        if first.get(name) != second.get(name):
            return f"{name} is {first.get(name, 'absent')} and {second.get(name, 'absent')}"
    return ""


def _header(path: Path) -> dict[str, str]:
    """Return type and shape of each tensor of a file, in words."""
    tensors = {}
    with _opened(path) as file:
        for name in file.keys():
            part = file.get_slice(name)
            tensors[name] = f"{part.get_dtype()} {part.get_shape()}"
    return tensors


def _files(folder: Path) -> list[str]:
    """Return the files of a saved model; notes for readers are none of its parts."""
    names = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".md":
            names.append(str(path.relative_to(folder)))
    return names


def merge(folders: Sequence[Path], shares: Sequence[float], target: Path) -> None:
    """Write the weighted mean of saved models as a saved model, the whole folder atomically.

    Args:
        folders: of the models, as `loading.save_encoder` wrote them; see `difference`.
        shares: see `averaged`.
        target: the folder; one that is there is replaced.

    Raises:
        UserError: as `averaged` does, and where a file of weights cannot be read.
    """
    with atomic_dir(target) as temporary:
        # The notes of a parent are not about its average.
        left_out = shutil.ignore_patterns(f"*{WEIGHTS}", "*.md")
        shutil.copytree(folders[0], temporary, dirs_exist_ok=True, ignore=left_out)
        for name in _files(folders[0]):
            if name.endswith(WEIGHTS):
                _merge_file([folder / name for folder in folders], shares, temporary / name)


def _merge_file(paths: Sequence[Path], shares: Sequence[float], target: Path) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(path)) for path in paths]
        states = [Stored(file) for file in opened]
        save_file(averaged(states, shares), target, opened[0].metadata())


def _opened(path: Path) -> Any:
    """Return an open file of weights."""
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error})", key="model.unreadable") from error


class Stored(Mapping[str, NDArray[Any]]):
    """The tensors of an open file, each read where it is asked for."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.names: list[str] = list(file.keys())

    def __getitem__(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = self.file.get_tensor(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
