"""What the per-query tables of a sweep say: intervals, verdicts, figures. No torch, no Hydra.

Imports `config`, `data`, `inputs`, `retrieval`, `runs` and `utils`. Start with `load` (from folders
to rows), `results` (from rows to verdicts) and `statistics` (where a verdict is made).
"""
