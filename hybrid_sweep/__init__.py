"""What does raising the cross-lingual share of hybrid batches do to monolingual retrieval, and what
does it buy?
"""

__version__ = "0.1.0"
