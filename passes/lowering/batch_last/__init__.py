"""The batch-innermost layout: which nodes take it and how they are written in it."""
