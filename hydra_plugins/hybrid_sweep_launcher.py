"""Hydra's view of the local launcher, for Hydra only accepts classes of this namespace; the work is
in the package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class LocalLauncherConf:
    _target_: str = "hydra_plugins.hybrid_sweep_launcher.LocalLauncher"


class LocalLauncher(Launcher):
    """Points in slots of this machine, each in a process of its own; see
    hybrid_sweep.sweeps.scheduler.launch.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.loader, self.config, self.task = hydra_context.config_loader, config, task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from hybrid_sweep.sweeps import scheduler

        jobs = [
            (tuple(job), composed(self.task, self.loader, self.config, job))
            for job in job_overrides
        ]
        states = scheduler.launch(jobs, getattr(self.task, "servers", None))
        return ended(job_overrides, states)


def composed(
    task: TaskFunction, loader: ConfigLoader, sweep: DictConfig, job: Sequence[str]
) -> Any:
    """Return the typed point of a job.

    The program's own task (`hybrid_sweep.sweeps.scheduler.Task`) has it, unless another sweeper
    than Hydra's has chosen the job.
    """
    from hybrid_sweep.config import validate

    planned = getattr(task, "points", {}).get(tuple(job))
    if planned is not None:
        return planned
    node = loader.load_sweep_config(sweep, list(job))
    OmegaConf.set_struct(node, False)
    del node["hydra"]
    return validate.typed(node)


def ended(jobs: Sequence[Sequence[str]], states: Sequence[str]) -> list[JobReturn]:
    """The state of each point, as a job that ended well.

    A failed point is told by its files, not by an exception: that would make Hydra's sweeper drop
    the points after.
    """
    return [
        JobReturn(overrides=list(job), status=JobStatus.COMPLETED, _return_value=state)
        for job, state in zip(jobs, states, strict=True)
    ]


ConfigStore.instance().store(
    group="hydra/launcher", name="hybrid_sweep_local", node=LocalLauncherConf
)
