"""Where bfloat16 is used on a CPU, and whether the CPU of this machine has instructions for it.

No torch here.
"""

from hybrid_sweep.config.schema import Bm25Model, Config, encoding_precision
from hybrid_sweep.utils import processor
from hybrid_sweep.utils.errors import UserError, config_key


def keys_on_cpu(config: Config) -> list[str]:
    """Return the settings, with their values, that ask the CPU for bfloat16."""
    if config.trainer.accelerator != "cpu" or isinstance(config.model, Bm25Model):
        return []
    keys = []
    if config.trainer.precision.startswith("bf16"):
        keys.append(f"trainer.precision={config.trainer.precision}")
    if encoding_precision(config) == "bf16-true":
        keys.append(f"eval.precision={config.eval.precision}")
    return keys


def check(config: Config) -> None:
    """Refuse bfloat16 on a CPU that would emulate it.

    Raises:
        UserError: with the processor and what it has.
    """
    for setting in keys_on_cpu(config):
        if processor.has_bf16() is False:
            key = setting.partition("=")[0]
            raise UserError(
                f"{setting}: {processor.model()} has no instructions for bfloat16"
                f" ({', '.join(processor.OF_BF16)}; it has {processor.instructions() or 'none'}),"
                f" and torch would emulate them, slower than float32; take {key}=32-true",
                key=config_key(key),
            )


def note(config: Config) -> list[str]:
    """Return what a plan says of bfloat16 on the CPU of this machine; [] where none is used."""
    keys = keys_on_cpu(config)
    if not keys:
        return []
    told = processor.instructions()
    if told is None:
        return [f"{' '.join(keys)}: whether this CPU has instructions for bfloat16 is not known"]
    own = [name for name in told.split() if name in processor.OF_BF16]
    return [f"{' '.join(keys)}: matrix products by {', '.join(own) or 'emulation'} on this machine"]
