"""What the per-query tables of a sweep say: intervals, verdicts, a figure and a report, without
torch or Hydra.
"""
