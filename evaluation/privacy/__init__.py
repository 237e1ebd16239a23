"""Does the synthetic table give away anything about the rows that it was learned from?"""
