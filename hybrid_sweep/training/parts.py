"""The parts of a training that a user may bring: the loss and Lightning callbacks.

What each is given is written at `loss.Loss` and in docs/api.md.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hybrid_sweep.config.own_parts import LOSS
from hybrid_sweep.training.loss import Loss, LossInput, info_nce
from hybrid_sweep.utils.errors import UserError, config_key
from hybrid_sweep.utils.own_code import CodeFile, load

if TYPE_CHECKING:  # seconds that a check of a loss need not take
    from pytorch_lightning import Callback

GIVEN = tuple(LossInput.__annotations__)


@dataclass(frozen=True)
class Parts:
    """What a training is put together from.

    loss: of each step. callbacks: classes of a user's own, in their order.
    """

    loss: Loss = info_nce
    callbacks: list[Callable[[], "Callback"]] = field(default_factory=list)


def parts_of(sources: Mapping[tuple[str, str], CodeFile]) -> Parts:
    """Import and check the parts that a config names; without any, those of this program.

    Args:
        sources: the file behind each part, by field and name; see `config.own_parts.sources`.

    Raises:
        UserError: for a part that cannot be imported, or is not what a training can use.
    """
    loss: Loss = info_nce
    callbacks = []
    for (key, name), source in sources.items():
        part = load(key, name, source)
        if key == LOSS:
            problem = _problem_of_loss(part)
        else:
            problem = _problem_of_callback(part)
        if problem:
            raise UserError(f"{key}={name}: {problem}", key=config_key(key))
        if key == LOSS:
            loss = part
        else:
            callbacks.append(part)
    return Parts(loss, callbacks)


def _problem_of_loss(part: Any) -> str | None:
    """Return why a part is no loss; None where it is one."""
    if not callable(part) or inspect.isclass(part):
        return f"must be a function of {', '.join(GIVEN)}"
    problem = _problem_of_call(part, GIVEN)
    return problem and f"is called with {', '.join(GIVEN)}, by these names: {problem}"


def _problem_of_callback(part: Any) -> str | None:
    """Return why a part is no class of callbacks; None where it is one."""
    from pytorch_lightning import Callback

    if not inspect.isclass(part) or not issubclass(part, Callback):
        return "must be a class derived from pytorch_lightning.Callback"
    problem = _problem_of_call(part, ())
    return problem and f"is made without arguments: {problem}"


def _problem_of_call(part: Any, given: tuple[str, ...]) -> str | None:
    try:
        inspect.signature(part).bind(**dict.fromkeys(given))
    except (TypeError, ValueError) as error:
        return str(error)
    return None
