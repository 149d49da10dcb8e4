"""The tables of a report: each is made once, and shown on the console, in report.md, table.tex and
report.html.
"""
