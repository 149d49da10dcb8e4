"""What is searched: one type for all sources, and one file per source."""
