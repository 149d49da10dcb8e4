"""The typed settings of a run: their schema, what is refused, and how Hydra's words become them.

Imports `retrieval` and `utils`. Start with `schema`.
"""
