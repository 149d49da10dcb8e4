"""The collection of LibreOffice's help: packages fetched, pages read, sections cleaned and judged.

Start with `collection`.
"""
