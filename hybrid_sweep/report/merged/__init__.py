"""Averaged weights beside the trained curve: their rows, the test of the two, table and figure."""
