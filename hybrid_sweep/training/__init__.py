"""Training: batches as tensors, the loss, the Lightning module, checkpoints, evaluation on dev.

Imports `batching`, `config`, `data`, `inputs`, `models`, `retrieval`, `tracking` and `utils`. Start
with `lightning_module`, then `batches` and `loss`.
"""
