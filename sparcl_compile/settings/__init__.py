"""The options of the compiler with their defaults, and the published recipes."""
