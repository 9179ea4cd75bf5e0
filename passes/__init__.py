"""The graph passes, in a folder a phase. One pass, one file; which of them run, say ``sparcl_compile/targets/``."""
