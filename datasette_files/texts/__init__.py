"""Text of files, by page: what extracts it, and the background work that keeps it.

The extraction is kinds.py (which extractor reads a file), extraction.py (the leased rounds) and
reader.py with worker/ (the confined process that reads strangers' files). The pages and their
search are in db/texts.py and db/text_search.py.
"""
