"""Exact ranks, measures and language bias, from vectors or word weights: NumPy alone, no torch.

Imports `utils`. Start with `ranking` (where a rank is counted), then `measures` (from ranks to
MRR@10 and the others) and `per_query` (one row for each query and setting).
"""
