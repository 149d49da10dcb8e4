"""The batch schedule: which pairs, in which languages, each step trains on, as a pure function.

Imports `utils`. Start with `schedule`, where the share of a batch is decided; `audit` checks what
entered the loss against it.
"""
