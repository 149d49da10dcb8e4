"""Low-rank adapters (LoRA, Hu et al. 2021) inside a transformer, by peft: put in, and added into
the weights to be saved.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from hybrid_sweep.utils.errors import UserError


def add_adapters(
    transformer: Any, *, rank: int, alpha: float, targets: list[str], seed: int
) -> None:
    """Put adapters into the linear layers that `targets` name, in place, and freeze all else.

    The transformer stays what it is (its class, config, embeddings and calls), and computes the
    same until trained. The adapters' first weights come from `seed` alone. targets: ends of module
    names; empty = peft's choice for the architecture. Raises UserError where peft is missing, has
    no choice, or a name fits no linear layer.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from peft.utils.constants import (
            TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as CHOICE,
        )
    except ImportError as error:
        raise UserError(
            f"model.lora_rank={rank} needs peft: pip install hybrid-sweep[lora] ({error})",
            key="install.peft",
        ) from error
    kind = transformer.config.model_type
    names = sorted(
        {name.rsplit(".", 1)[-1] for name, module in transformer.named_modules() if _linear(module)}
    )
    if not targets and kind not in CHOICE:
        raise UserError(
            f"model.lora_targets=[]: peft has no choice for {kind}; name linear layers, there are"
            f" {', '.join(names)}",
            key="config.model.lora_targets",
        )
    chosen = targets or list(CHOICE[kind])
    for target in chosen:
        modules = [
            module
            for name, module in transformer.named_modules()
            if name == target or name.endswith(f".{target}")
        ]
        if not modules or not all(map(_linear, modules)):
            raise UserError(
                f"model.lora_targets={target}: no linear layer of {kind}; there are"
                f" {', '.join(names)}",
                key="config.model.lora_targets",
            )
    torch.manual_seed(seed)
    scale = cast(int, alpha)  # peft only divides it by the rank, though it says int
    inject_adapter_in_model(
        LoraConfig(r=rank, lora_alpha=scale, lora_dropout=0.0, target_modules=chosen), transformer
    )


def merged_weights(transformer: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of the transformer with its adapters added in, under the names it has
    without them.

    Nothing in the transformer changes; without adapters these are its own weights.
    """
    weights = transformer.state_dict()
    for name, layer in transformer.named_modules():
        if hasattr(layer, "get_delta_weight"):
            prefix = f"{name}."
            for key in [key for key in weights if key.startswith(f"{prefix}lora_")]:
                del weights[key]
            for part in ("weight", "bias"):
                if (key := f"{prefix}base_layer.{part}") in weights:
                    weights[prefix + part] = weights.pop(key)
            weights[f"{prefix}weight"] = weights[f"{prefix}weight"] + layer.get_delta_weight(
                "default"
            )
    return weights


def _linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)
