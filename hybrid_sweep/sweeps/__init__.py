"""Many runs: the points of a sweep, the processes that do them, and what a user sees meanwhile.

Imports `batching`, `config`, `inputs`, `models`, `retrieval`, `runs`, `tracking`, `training` and
`utils`. Start with `point_list`, then `scheduler` and `processes`.
"""
