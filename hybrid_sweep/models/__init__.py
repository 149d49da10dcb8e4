"""Encoders: their folders, tokens, adapters and vectors.

Imports `batching`, `config`, `data` and `utils`. Start with `encoder` (from tokens to unit
vectors), then `loading` (from and to disk) and `encoding` (the vectors of a split, stored).
"""
