"""Which process of a distributed run this is."""

from collections.abc import Mapping

from hybrid_sweep.config.schema import Config


def is_main(config: Config, environment: Mapping[str, str]) -> bool:
    """Return whether this is the first process of the run, by what torchrun, srun or Lightning says
    to each it starts.
    """
    if config.trainer.devices * config.trainer.nodes == 1:
        return True
    return all(
        int(environment.get(name, "0")) == 0
        for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    )
