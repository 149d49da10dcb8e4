"""The collection of Debian's package descriptions: fetched, read, cleaned and judged.

Start with `collection`.
"""
