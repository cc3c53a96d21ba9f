"""Judges that nobody here wrote, over files that nobody here made: ``python -m tests.oracles``.

fetch.sh collects the files, ours.py reads them as the plugin does, judges.py asks the others,
agreement.py compares.
"""
