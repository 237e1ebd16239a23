"""One codec for each family of column kinds: how its cells become tokens and values, and how they come back."""
