"""What the compiler, the runtime and every driver agree on. Leaf modules: standard library, msgspec in two files."""
