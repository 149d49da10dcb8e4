"""The figures of a report: one a file, drawn without pyplot, all in one style."""
