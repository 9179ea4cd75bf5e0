"""Data sources, read without a network: arrays in, tasks out."""

from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.sources import load

__all__ = ["Dataset", "load"]
