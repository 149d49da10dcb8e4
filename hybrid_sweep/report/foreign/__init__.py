"""Other people's systems: tidy rows in, the statistics of a sweep over any factor out."""
