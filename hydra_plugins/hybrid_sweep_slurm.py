"""Hydra's view of the SLURM launcher: the jobs are hydra-submitit-launcher's, the waiting is ours
(hybrid_sweep.sweeps.array_job).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.hybrid_sweep_launcher import composed, ended


class SlurmLauncher(Launcher):
    """One array job a sweep.

    hydra-submitit-launcher waits for the jobs one by one, and gives up at the first that SLURM
    ended; here all are waited for, what is done is left out, and the user sees how far the points
    are.
    """

    def __init__(self, **params: Any) -> None:
        self.params = {
            key: (
                OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            )
            for key, value in params.items()
        }

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import (  # type: ignore[import-untyped]
            SlurmLauncher as Submitit,
        )

        self.loader, self.config, self.task = hydra_context.config_loader, config, task_function
        # what runs in a job: it composes the point there and calls the task
        self.job = Submitit(**self.params)
        self.job.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from hybrid_sweep.sweeps import array_job

        def submit(numbers: Sequence[int], params: Mapping[str, Any]) -> str:
            state = Singleton.get_state()
            rows = [
                (
                    list(job_overrides[number]),
                    "hydra.sweep.dir",
                    initial_job_idx + number,
                    f"job_{number}",
                    state,
                )
                for number in numbers
            ]
            return array_job.submit(self.job, rows, params)

        jobs = [
            (tuple(job), composed(self.task, self.loader, self.config, job))
            for job in job_overrides
        ]
        return ended(job_overrides, array_job.launch(jobs, submit, self.params))
