"""A table as a value, and how it is written: on the console, in Markdown, LaTeX and HTML."""
