"""Files that are never half-written, locks, errors, names, texts made safe: what all rooms use.

Imports nothing of this package. Start with `files` (atomic writes, identities of content) and
`errors` (the one exception that a user can mend).
"""
