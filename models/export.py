"""Write one of the models here as ONNX: ``python models/export.py resnet18 --width 20 -o resnet18.onnx``."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import onnx_ir as ir
import torch

if __package__ in (None, ""):  # run as a script: the import path begins in this folder, not above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from models.resnet import resnet18
from models.small import cnn, depthwise_cnn, digits_cnn, mlp, sensor_cnn
from models.transformer import transformer

DIGIT, COLOUR, MOTION = (1, 8, 8), (3, 32, 32), (3, 64)

MODELS: dict[str, tuple[Callable[..., torch.nn.Module], tuple[int, ...]]] = {
    "resnet18": (resnet18, COLOUR),
    "mlp": (mlp, DIGIT),
    "cnn": (cnn, COLOUR),
    "depthwise_cnn": (depthwise_cnn, COLOUR),
    "transformer": (transformer, COLOUR),
    "digits_cnn": (digits_cnn, DIGIT),
    "sensor_cnn": (sensor_cnn, MOTION),
}
"""Name to the function that makes the model and the shape of one sample."""

OPSET = 18


def build(name: str, width: int | None = None, classes: int = 10, seed: int = 0) -> torch.nn.Module:
    """A freshly initialised model in inference mode; ``width`` None is the model's own default."""
    function, _ = MODELS[name]
    torch.manual_seed(seed)
    chosen = {} if width is None else {"width": width}
    return function(classes=classes, **chosen).eval()


def export(module: torch.nn.Module, sample: tuple[int, ...], file: Path) -> None:
    """Write the module for inputs [N, *sample] with its BatchNormalization nodes and its state_dict names.

    Raises OSError when the file cannot be written.
    """
    module.eval()
    with warnings.catch_warnings():
        # The newer exporter folds BatchNormalization into Conv and renames weights; this one is deprecated but exact.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            module,
            (torch.zeros(2, *sample),),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=["x"],
            output_names=["logits"],
            dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}},
        )
    ir.save(unshare_initializers(ir.load(file)), file)


def unshare_initializers(model: ir.Model) -> ir.Model:
    """Undo the exporter's merging of parameters that hold equal values: to training they are different parameters."""
    graph = model.graph
    for node in list(graph):
        source = node.inputs[0] if node.op_type == "Identity" else None
        if source is None or source.const_value is None:
            continue
        out = node.outputs[0]
        tensor = ir.tensor(source.const_value.numpy().copy(), name=out.name)
        own = ir.Value(name=out.name, shape=source.shape, type=source.type, const_value=tensor)
        out.replace_all_uses_with(own)
        graph.remove(node, safe=True)
        graph.register_initializer(own)
    return model


@click.command()
@click.argument("name", type=click.Choice(sorted(MODELS)))
@click.option("--width", type=click.IntRange(1), help="Channels of the first layer.  [default: the model's own]")
@click.option("--classes", type=click.IntRange(2), default=10, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the fresh initialisation.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), required=True)
def main(name: str, width: int | None, classes: int, seed: int, output: Path) -> None:
    """Write the model NAME, freshly initialised, as an ONNX file."""
    try:
        export(build(name, width, classes, seed), MODELS[name][1], output)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"cannot export {name} to {output}: {error}") from error
    click.echo(f"{output}: {output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
