"""Artifacts for a minimal build of ONNX Runtime: every graph in ORT format, and a config of their operators."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import onnxruntime as ort
import pytest
from onnxruntime.tools import convert_onnx_models_to_ort as tool
from onnxruntime.tools.ort_format_model.ort_flatbuffers_py import fbs
from onnxruntime.tools.reduced_build_config_parser import parse_config

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.compiling.ort_format import CONFIG
from sparcl_compile.interface import artifact as artifacts
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import ArtifactError, FieldError, ModelError
from sparcl_compile.runtime.session import kernel_library
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import call, check_refused, contents, write_artifact, write_model

FORMS = {
    "masked": CompileOptions(target="ort", ort_format=True),
    "folded": CompileOptions(target="ort", ort_format=True, scheme="channel", sparsity=0.5, gradient_sparsity=0.0),
    "compressed": CompileOptions(target="ort", ort_format=True, compress=True, select_kernels=False),
}
Operator = tuple[str, int, str]
"""Domain, the version since which it is as it is, and name."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", params=FORMS)
def made(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    if request.param == "compressed" and kernel_library.library() is None:
        pytest.skip(kernel_library.reason())
    target = tmp_path_factory.mktemp(request.param) / "made.sparcl"
    return compile_model(model, target, FORMS[request.param])


def operators(path: Path) -> Iterator[Operator]:
    """The operators of a file in ORT format, read from its bytes."""
    yield from _of_graph(fbs.InferenceSession.InferenceSession.GetRootAs(path.read_bytes(), 0).Model().Graph())


def _of_graph(graph: fbs.Graph.Graph) -> Iterator[Operator]:
    for node in map(graph.Nodes, range(graph.NodesLength())):
        yield node.Domain().decode() or "ai.onnx", node.SinceVersion(), node.OpType().decode()
        for attribute in map(node.Attributes, range(node.AttributesLength())):
            if attribute.G():
                yield from _of_graph(attribute.G())


def listed(config: Path) -> set[Operator]:
    """The operators of a config, as ONNX Runtime's build reads it."""
    found, _ = parse_config(str(config))
    return {(domain, since, name) for domain, by in found.items() for since, names in by.items() for name in names}


def test_every_graph_is_there_in_both_formats_with_checksums(made: Artifact) -> None:
    files = made.manifest.files
    graphs = [name for name in files if name.endswith(".onnx")]
    assert {name for name in files if name.endswith(".ort")} == {name.removesuffix("nnx") + "rt" for name in graphs}
    assert CONFIG in files
    assert len(graphs) > 20
    assert artifacts.load(made.folder) == made


def test_every_operator_stands_in_the_config_and_no_other(made: Artifact) -> None:
    used = {one for path in made.folder.rglob("*.ort") for one in operators(path)}
    assert used == listed(made.folder / CONFIG)
    assert ("ai.onnx", 11, "Conv") in used
    assert ("sparcl" in {domain for domain, _, _ in used}) == made.manifest.options.compress


def test_the_config_names_the_files_in_the_artifact(made: Artifact) -> None:
    text = (made.folder / CONFIG).read_text(encoding="utf-8")
    assert "# - train/training_model.ort\n" in text
    assert str(made.folder.parent) not in text


def test_the_config_says_what_batch_normalization_needs_of_a_minimal_build(made: Artifact) -> None:
    text = (made.folder / CONFIG).read_text(encoding="utf-8")
    assert "BatchNormalization" in text
    assert text.startswith("# Build with CXXFLAGS=-DBATCHNORM_INCLUDE_TRAINING_SUPPORT: ")


def test_the_manifest_says_which_runtime_wrote_them(made: Artifact) -> None:
    assert made.manifest.made_by["onnxruntime"] == ort.__version__
    assert made.manifest.options.ort_format


def test_a_graph_opens_by_itself_or_with_the_kernel_library(made: Artifact) -> None:
    for graph in made.manifest.graphs.values():
        file = graph.file if isinstance(graph.file, str) else graph.file["uint8"]
        options = ort.SessionOptions()
        options.log_severity_level = 4
        if graph.kernels:
            options.register_custom_ops_library(str(kernel_library.library()))
        session = ort.InferenceSession((made.folder / file).with_suffix(".ort"), options)
        assert [one.name for one in session.get_inputs()] == [one.name for one in graph.inputs]
        assert [one.name for one in session.get_outputs()] == [*graph.outputs]


def test_a_damaged_file_is_refused(model: Path, tmp_path: Path) -> None:
    made = compile_model(model, tmp_path / "a.sparcl", FORMS["masked"])
    path = made.folder / "train/training_model.ort"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"training_model\.ort: is damaged"):
        artifacts.load(made.folder)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"training_model\.ort: is missing"):
        artifacts.load(made.folder)


def test_without_the_option_there_is_nothing_of_it(model: Path, tmp_path: Path) -> None:
    made = compile_model(model, tmp_path / "a.sparcl", dataclasses.replace(FORMS["masked"], ort_format=False))
    assert not [name for name in made.manifest.files if name.endswith((".ort", ".config"))]
    assert "onnxruntime" not in made.manifest.made_by


def test_graphs_of_the_training_build_are_refused() -> None:
    with pytest.raises(FieldError, match="`ort_format`: is for a minimal build"):
        CompileOptions(target="ort-training", ort_format=True)


def test_the_refusal_names_options_of_the_command(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    before = contents(tmp_path)
    outcome = call("compile", model, "--target", "ort-training", "--ort-format")
    check_refused(outcome, "--ort-format: is for a minimal build", "add --target ort or leave this out")
    assert contents(tmp_path) == before


def test_what_cannot_be_converted_leaves_the_artifact_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel\nfor this")

    write_artifact(tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(tool, "convert_onnx_models_to_ort", fail)
    with pytest.raises(ModelError, match=r"^cnn_bn\.onnx: ONNX Runtime cannot write its format: no kernel for this$"):
        compile_model(tmp_path / "cnn_bn.onnx", tmp_path / "cnn_bn.sparcl", FORMS["masked"])
    assert contents(tmp_path) == before
