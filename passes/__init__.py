"""The graph passes. One pass, one file; the pipeline's order is in ``sparcl_compile/compiling/pipeline.py``."""
