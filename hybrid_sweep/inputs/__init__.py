"""What a run reads: collection, tokens and training pairs, built once into the cache. No torch.

Imports `batching`, `config`, `data`, `models`, `retrieval` and `utils`. Start with `prepare`;
`splits` has the texts that are evaluated.
"""
