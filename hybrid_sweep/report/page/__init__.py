"""report.html: one offline page, from the tables of a report."""
