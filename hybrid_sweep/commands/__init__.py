"""The verbs of the program: what a user types, checked and passed to the rooms below.

Imports `config`, `data`, `inputs`, `models`, `report`, `retrieval`, `runs`, `sweeps`, `tracking`
and `utils`. Start with `cli`.
"""
