"""The table's own path: source, schema, split, encoding, checks, publishing. It knows no generator and no metric.

Import from the rooms (`from pipeline.source import read`): the package itself imports nothing, so that the command line
starts at once.
"""
