"""The Python interface: compile a model, load an artifact, learn, predict, export. The commands are thin over it."""

from sparcl_compile.api.compiling import compile_model
from sparcl_compile.api.exporting import export_model
from sparcl_compile.api.learning import learn, predict
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.settings.options import CompileOptions

__all__ = ["CompileOptions", "RunConfig", "compile_model", "export_model", "learn", "load", "predict"]
