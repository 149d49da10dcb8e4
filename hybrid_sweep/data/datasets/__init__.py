"""One file for each source of texts: how its files become a collection.

Start with `sources`, which names them.
"""
