"""Hydra's view of a search by Optuna; the work is in hybrid_sweep.sweeps.search."""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """The trials of a `hybrid_sweep.sweeps.search.SearchTask`, by whatever launcher there is."""

    def __init__(self, **params: Any) -> None:
        self.params = params  # the task has read them

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.task: Any = task_function
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.launch = launcher.launch

    def sweep(self, arguments: list[str]) -> Any:
        return self.task.search(self.launch)
