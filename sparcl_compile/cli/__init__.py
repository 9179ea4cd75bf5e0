"""The commands, a file each. Heavy imports wait until a command really runs, so that --help is quick."""

from sparcl_compile.cli.bench import bench_command
from sparcl_compile.cli.compile import compile_command
from sparcl_compile.cli.doctor import doctor_command
from sparcl_compile.cli.export import export_command
from sparcl_compile.cli.inspect import inspect_command
from sparcl_compile.cli.opt import opt_command
from sparcl_compile.cli.run import run_command

__all__ = [
    "bench_command",
    "compile_command",
    "doctor_command",
    "export_command",
    "inspect_command",
    "opt_command",
    "run_command",
]
