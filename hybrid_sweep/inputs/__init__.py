"""What a run reads: collection, tokens and training pairs, built once into the cache. No torch.

Imports `batching`, `config`, `data`, `models`, `retrieval` and `utils`. Start with `prepare`;
`plan` has the batches, `splits` the texts that are evaluated.
"""
