"""Collections: queries, passages and judgements in several languages, and their training pairs.

Imports `batching`, `config` and `utils`. Start with `collection`, the one type of all sources;
`datasets` has one file for each source.
"""
