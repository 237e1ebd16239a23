"""Does the synthetic table serve what a table is for: learning from it and being right about original rows?"""
