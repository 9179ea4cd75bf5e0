"""A fuzzer: mutated models, artifacts, checkpoints and data through every command (``make fuzz``)."""
