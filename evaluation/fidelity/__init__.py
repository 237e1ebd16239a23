"""Is the synthetic table like the original one: columns, pairs of columns, whole rows?"""
