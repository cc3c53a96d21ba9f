"""The comparison with the public release: `uv run python -m benchmarks`, described in README.md.

Nothing here is imported by the plugin or by its tests, and nothing here asserts a time: the
command measures, prints the table of targets with today's figures, and leaves judging to a reader.
"""
