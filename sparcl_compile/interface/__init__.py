"""What the compiler, the runtime and every driver agree on. Leaf modules: standard library, and msgspec in one file."""
