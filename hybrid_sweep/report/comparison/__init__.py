"""Sweeps that differ, side by side: their tables, figure and page, and what can be tested between
them.
"""
