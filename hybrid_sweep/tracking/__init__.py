"""What Weights & Biases is told of a run while it runs.

Imports `config` and `utils`. Start with `mirror`; `live` sends it, and never stands in the way.
"""
