"""The contract between the compiler, the runtime and every driver. Leaf modules: no library, but msgspec in two."""
