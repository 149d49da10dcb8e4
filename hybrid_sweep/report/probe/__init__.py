"""The weakness probe: which questions a higher ratio loses, and which a model misses in one
language.
"""
