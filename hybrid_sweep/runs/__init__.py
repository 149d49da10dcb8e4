"""One run: trained, evaluated and recorded; each part is finished when its files are there.

Imports `batching`, `config`, `data`, `inputs`, `models`, `retrieval`, `tracking`, `training` and
`utils`. Start with `execute`; `finished` says what a finished evaluation is, for all who read one.
"""
