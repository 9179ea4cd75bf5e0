"""A second implementation of docs/algorithm.md, in numpy and PyTorch, that shares no code with the compiler.

Use :func:`tests.reference.train.run` and :func:`tests.reference.train.evaluate`.
"""
