"""An artifact with right checksums and wrong content: every name leads somewhere, every file lies inside."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from sparcl_compile.interface import artifact as artifacts
from sparcl_compile.interface.contents import check_graph
from sparcl_compile.interface.contract import check_path
from sparcl_compile.interface.errors import ArtifactError
from sparcl_compile.interface.files import sha256
from tests.support.cli import SMALL_RUN, arrays, call, check_refused, write_artifact, write_data


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("sound"), "--replay-batches", "separate")


@pytest.fixture
def artifact(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "a.sparcl"))


def manifest(artifact: Path) -> Any:
    return json.loads((artifact / "manifest.json").read_text())


def seal(artifact: Path, content: Any) -> None:
    """Write a manifest, with right checksums of all files that are there."""
    for name in content["files"]:
        if os.path.isfile(artifact / name):
            content["files"][name] = sha256(artifact / name)
    (artifact / "manifest.json").write_text(json.dumps(content))
    sums = [f"{sha256(artifact / name)}  {name}\n" for name in ("manifest.json", "report.json")]
    (artifact / "manifest.sha256").write_text("".join(sums))


def refusal(artifact: Path) -> str:
    with pytest.raises(ArtifactError) as refused:
        artifacts.load(artifact)
    assert "\n" not in str(refused.value)
    return str(refused.value)


OUTSIDE = ("../secret", "/etc/passwd", "a/../../secret", "..", "", "C:\\secret", "a\\b", "C:/secret", "a\0b")


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_out_is_refused_wherever_it_stands(path: str, artifact: Path) -> None:
    (artifact.parent / "secret").write_text("precious")
    content = manifest(artifact)
    for change in (
        lambda found: found["files"].update({path: "0" * 64}),
        lambda found: found.update(state_file=path),
        lambda found: found["graphs"]["eval"].update(file=path),
        lambda found: found["graphs"]["standardise"]["file"].update(uint8=path),
    ):
        changed = json.loads(json.dumps(content))
        change(changed)
        seal(artifact, changed)
        assert "manifest.json: is damaged (" in refusal(artifact)


@pytest.mark.parametrize("path", ["state.safetensors", "train/training_model.onnx", "a/b/c.txt", "..a", "a..b/c"])
def test_a_path_inside_is_allowed(path: str) -> None:
    check_path(path, "files")


@pytest.mark.parametrize("name", ["state.safetensors", "eval/eval_model.onnx", "eval", "manifest.json", "report.json"])
def test_a_link_is_refused_wherever_it_leads(name: str, artifact: Path) -> None:
    elsewhere = artifact.parent / "elsewhere"
    (artifact / name).rename(elsewhere)
    (artifact / name).symlink_to(elsewhere)
    assert f"{artifact / name}: is a link; put the file itself there" in refusal(artifact)


def test_an_artifact_behind_a_link_is_read(artifact: Path) -> None:
    (artifact.parent / "link.sparcl").symlink_to(artifact)
    artifacts.load(artifact.parent / "link.sparcl")


def test_a_pipe_is_not_waited_for(artifact: Path) -> None:
    for name in ("state.safetensors", "manifest.sha256", "report.json", "manifest.json"):
        content = (artifact / name).read_bytes()
        (artifact / name).unlink()
        os.mkfifo(artifact / name)
        refusal(artifact)
        (artifact / name).unlink()
        (artifact / name).write_bytes(content)
    artifacts.load(artifact)


def varying(content: Any) -> Any:
    """The first state tensor whose lengths vary."""
    return next(one for one in content["state"] if any(isinstance(length, str) for length in one["shape"]))


SENSELESS: dict[str, tuple[Callable[[Any], object], str]] = {
    "a state file that is not listed": (lambda m: m["files"].pop("state.safetensors"), "state_file names"),
    "a graph's file that is not listed": (lambda m: m["files"].pop("eval/eval_model.onnx"), "graphs.eval.file names"),
    "a graph for no type": (
        lambda m: m["graphs"]["standardise"]["file"].update(int8=m["graphs"]["eval"]["file"]),
        "graphs.standardise.file names 'int8'",
    ),
    "a profile for no type": (
        lambda m: m["graphs"]["sum_pixels"]["numeric_profile"].update(int8="equal"),
        "graphs.sum_pixels.numeric_profile names 'int8'",
    ),
    "a profile for one type": (
        lambda m: m["graphs"]["sum_pixels"]["numeric_profile"].pop("uint8"),
        "graphs.sum_pixels.file names 'uint8'",
    ),
    "profiles of a graph without types": (
        lambda m: m["graphs"]["eval"].update(numeric_profile={"uint8": "close"}),
        "graphs.eval.file names 'float32'",
    ),
    "a state twice": (lambda m: m["state"].append(m["state"][0]), "state names a tensor twice"),
    "a length below 0": (lambda m: m["state"][0].update(shape=[-1]), "has a length below 0"),
    "no first value": (lambda m: m["state"][0].update(init="random"), "begins with 'random'"),
    "a copy of nothing": (lambda m: m["state"][0].update(init="copy:nothing"), "names 'nothing', which there is not"),
    "a copy of itself": (lambda m: m["state"][0].update(init="copy:" + m["state"][0]["name"]), "which there is not"),
    "a stored shape that varies": (lambda m: m["state"][0].update(init="file", shape=["N"]), "lengths that vary"),
    "a result that is no output": (lambda m: m["graphs"]["eval"]["results"].append("more"), "graphs.eval.results"),
    "an update of nothing": (lambda m: m["graphs"]["eval"]["updates"].update(logits="nothing"), "eval.updates"),
    "in the place of nothing": (lambda m: m["graphs"]["eval"]["in_place"].append("nothing"), "eval.in_place"),
    "a mask that is no state": (lambda m: m["weights"][0].update(mask="nothing"), "names 'nothing'"),
    "a rate of 0": (lambda m: m["weights"][0].update(rate=0.0), "a rate that is no number above 0"),
    "a block that is missing": (lambda m: m["program"]["blocks"].pop("end_run"), "program.blocks names 'end_run'"),
    "a graph that is missing": (lambda m: m["graphs"].pop("eval"), "names 'eval', which there is not"),
    "a reset of nothing": (
        lambda m: m["program"]["blocks"]["end_run"].append({"do": "reset", "state": ["nothing"]}),
        "program.blocks.end_run names 'nothing'",
    ),
    "a call of nothing": (
        lambda m: m["program"]["blocks"]["end_run"].append({"do": "call", "block": "nothing"}),
        "program.blocks.end_run names 'nothing'",
    ),
    "a block that calls itself": (
        lambda m: m["program"]["blocks"]["end_run"].append({"do": "call", "block": "end_run"}),
        "program.blocks.end_run calls itself",
    ),
    "no rows at a time": (
        lambda m: m["program"]["blocks"]["end_run"].append(
            {"do": "rows", "table": "data", "at_most": 0, "give": "a", "block": []}
        ),
        "takes 0 rows at a time",
    ),
    "multiples of 0": (
        lambda m: m["program"]["blocks"]["end_run"].append(
            {"do": "when", "any": [{"value": "task", "every": 0}], "then": []}
        ),
        "a condition on multiples of a number below 1",
    ),
    "an event at no share": (
        lambda m: m["program"]["events"]["removals"][0].update(at=[1, 0]),
        "program.events.removals is due at 1/0",
    ),
    "an event with no numbers": (
        lambda m: m["program"]["events"]["removals"][0]["feeds"].update(share="nothing"),
        "program.events.removals names 'nothing'",
    ),
    "a length that no run knows": (lambda m: varying(m).update(shape=["Z"]), "names 'Z', which there is not"),
    "no state for the driver": (
        lambda m: [one.update(name="else") for one in m["state"] if one["name"] == "data.mean"],
        "names 'data.mean', which there is not",
    ),
    "no logits": (lambda m: m["graphs"]["eval"].update(results=[]), "the driver names 'logits', which there is not"),
    "a sample beyond any memory": (
        lambda m: m["model"].update(input_shape=[3, 8, 10**40]),
        "model.input_shape has more than 2,147,483,648 numbers",
    ),
    "no classes": (lambda m: m["model"].update(classes=0), "model.classes is below 1"),
}


@pytest.mark.parametrize("name", SENSELESS)
def test_a_manifest_without_sense(name: str, artifact: Path) -> None:
    change, message = SENSELESS[name]
    content = manifest(artifact)
    seal(artifact, content)
    artifacts.load(artifact)
    change(content)
    seal(artifact, content)
    text = refusal(artifact)
    assert "manifest.json: is damaged (" in text
    assert message in text


def test_graphs_for_one_type_of_samples(artifact: Path, tmp_path: Path) -> None:
    content = manifest(artifact)
    for graph in content["graphs"].values():
        if not isinstance(graph["file"], str):
            content["files"].pop(graph["file"].pop("float32"))
    seal(artifact, content)
    data = write_data(tmp_path)
    assert call("run", artifact, "--data", data, *SMALL_RUN).code == 0
    floats = {name: array.astype(np.float32) for name, array in arrays().items() if name.startswith("x")}
    outcome = call("run", artifact, "--data", write_data(tmp_path, **floats), *SMALL_RUN)
    check_refused(outcome, "a.sparcl: has no graph", "for float32 samples; give data of uint8")


# State


def more(state: dict[str, np.ndarray]) -> None:
    state["more"] = np.zeros(3, np.float32)


def fewer(state: dict[str, np.ndarray]) -> None:
    del state["fc.bias"]


def longer(state: dict[str, np.ndarray]) -> None:
    state["fc.bias"] = np.zeros(len(state["fc.bias"]) + 1, np.float32)


def other_type(state: dict[str, np.ndarray]) -> None:
    state["fc.bias"] = state["fc.bias"].astype(np.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (more, "'more' is not in the manifest"),
        (fewer, "'fc.bias' is missing"),
        (longer, "'fc.bias' is F32 [6], the manifest has float32 (5,)"),
        (other_type, "'fc.bias' is F64 [5]"),
    ],
)
def test_another_state(change: Callable[[dict[str, np.ndarray]], None], message: str, artifact: Path) -> None:
    state = load_file(artifact / "state.safetensors")
    change(state)
    save_file(state, artifact / "state.safetensors")
    seal(artifact, manifest(artifact))
    assert message in refusal(artifact)


def header(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        entries = json.loads(content[8 : 8 + length])
        change(entries)
        text = json.dumps(entries).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + length :]

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: (2**40).to_bytes(8, "little") + content[8:],
        lambda content: (2).to_bytes(8, "little") + b"[]",
        lambda content: (10**5).to_bytes(8, "little") + b"[" * 10**5,
        lambda content: content[:-1],
        header(lambda entries: entries["fc.bias"].update(data_offsets=[-20, 0])),
        header(lambda entries: entries["fc.bias"].update(data_offsets=[2**40, 2**40 + 20])),
        header(lambda entries: entries["fc.bias"].update(data_offsets=[0, 19])),
        header(lambda entries: entries["fc.bias"].update(data_offsets="all")),
        header(lambda entries: entries["fc.bias"].update(shape="5")),
        header(lambda entries: entries.update({"fc.bias": 7})),
        header(lambda entries: entries["fc.bias"].pop("dtype")),
    ],
)
def test_a_state_file_that_is_none(change: Callable[[bytes], bytes], artifact: Path) -> None:
    path = artifact / "state.safetensors"
    path.write_bytes(change(path.read_bytes()))
    seal(artifact, manifest(artifact))
    assert "state.safetensors: is damaged" in refusal(artifact)


# Graphs


def outside(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model with a weight that lies in another file."""
    tensor = onnx.TensorProto(name="stolen", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    constant = onnx.NodeProto(op_type="Constant", output=["stolen"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    if where == "weight":
        model.graph.initializer.append(tensor)
    if where == "constant":
        model.graph.node.append(constant)
    if where == "function":
        model.functions.add(name="F", domain="d").node.append(constant)
    if where == "branch":
        branch = onnx.NodeProto(op_type="If")
        branch.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.node.append(constant)
        model.graph.node.append(branch)
    if where == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    return model


@pytest.mark.parametrize("where", ["weight", "constant", "function", "branch", "sparse"])
def test_weights_in_another_file(where: str, artifact: Path) -> None:
    path = artifact / "eval" / "eval_model.onnx"
    path.write_bytes(outside(onnx.load(path), where).SerializeToString())
    seal(artifact, manifest(artifact))
    assert "eval_model.onnx: is damaged (a weight lies in another file)" in refusal(artifact)


@pytest.mark.parametrize("data", [b"", b"\0" * 4, b"\0" * 12])
def test_data_of_another_length_than_the_shape_says(data: bytes, artifact: Path) -> None:
    path = artifact / "eval" / "eval_model.onnx"
    model = onnx.load(path)
    model.graph.initializer.add(name="two", data_type=1, dims=[2], raw_data=data)
    path.write_bytes(model.SerializeToString())
    seal(artifact, manifest(artifact))
    assert "eval_model.onnx: is damaged (a tensor has other data than its shape says)" in refusal(artifact)


def test_weights_inside_may_have_any_name(artifact: Path) -> None:
    path = artifact / "eval" / "eval_model.onnx"
    model = onnx.load(path)
    model.graph.doc_string = "location, data_location"
    model.graph.initializer.add(name="location", data_type=1, dims=[1], data_location=0).float_data.append(1.0)
    path.write_bytes(model.SerializeToString())
    check_graph(path)


@pytest.mark.parametrize(
    "content", [b"location\xff\xff\xff", b"\x3a\xff\x01location", b":" * 100 + b"location", b"\x3b" + b"location"]
)
def test_a_graph_that_is_none(content: bytes, artifact: Path, tmp_path: Path) -> None:
    (artifact / "eval" / "eval_model.onnx").write_bytes(content)
    seal(artifact, manifest(artifact))
    outcome = call("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN)
    check_refused(outcome, "eval_model.onnx: is damaged", "compile the model again")


def noise(model: onnx.ModelProto) -> bytes:
    return b"no model at all"


def other_output(model: onnx.ModelProto) -> bytes:
    model.graph.output[0].name = "x"
    return model.SerializeToString()


def other_operator(model: onnx.ModelProto) -> bytes:
    model.graph.node[0].op_type = "NoSuchOperator"
    return model.SerializeToString()


def other_inputs(model: onnx.ModelProto) -> bytes:
    model.graph.input.add().CopyFrom(onnx.helper.make_tensor_value_info("more", 1, [1]))
    return model.SerializeToString()


@pytest.mark.parametrize("change", [noise, other_output, other_operator, other_inputs])
def test_a_graph_that_is_another(change: Callable[[onnx.ModelProto], bytes], artifact: Path, tmp_path: Path) -> None:
    path = artifact / "standardise" / "uint8.onnx"
    path.write_bytes(change(onnx.load(path)))
    seal(artifact, manifest(artifact))
    outcome = call("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN)
    check_refused(outcome, "standardise/uint8.onnx: ", "compile the model again")


def test_a_graph_that_fails_while_it_runs(artifact: Path, tmp_path: Path) -> None:
    path = artifact / "standardise" / "uint8.onnx"
    model = onnx.load(path)
    last = model.graph.node[-1]
    last.output[0], wanted = "before", last.output[0]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([7, 7]), "shape"))
    model.graph.node.append(onnx.helper.make_node("Reshape", ["before", "shape"], [wanted]))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    path.write_bytes(model.SerializeToString())
    seal(artifact, manifest(artifact))
    outcome = call("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN)
    check_refused(outcome, "a.sparcl: ONNX Runtime cannot compute a graph of it", "compile the model again")


def test_a_text_behind_a_link_is_not_shown(artifact: Path) -> None:
    (artifact.parent / "secret").write_text("precious")
    path = next((artifact / "passes").glob("*_emit.txt"))
    shown = call("inspect", artifact, "--after", "emit")
    assert (shown.code, shown.out) == (0, path.read_text())
    path.unlink()
    path.symlink_to(artifact.parent / "secret")
    check_refused(call("inspect", artifact, "--after", "emit"), "the graph after emit is missing")


def test_a_graph_that_the_runtime_cannot_load_gives_one_line_and_nothing_past_python(
    artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = artifact / "record" / "record.onnx"
    model = onnx.load(path)
    weight = next(tensor for tensor in model.graph.initializer if tensor.raw_data)
    weight.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    seal(artifact, manifest(artifact))
    outcome = call("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN)
    check_refused(outcome, "record.onnx: ONNX Runtime cannot load it")
    assert capfd.readouterr().err == ""


def test_masked_weights_that_the_manifest_does_not_name(artifact: Path, tmp_path: Path) -> None:
    content = manifest(artifact)
    content["weights"] = []
    seal(artifact, content)
    outcome = call("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN)
    check_refused(
        outcome, "the manifest names 0 masked weights, the artifact's graphs count 1; compile the model again"
    )


@pytest.mark.parametrize("rest", [b"\0", b"\0" * 64])
def test_a_state_with_bytes_that_no_tensor_has(rest: bytes, artifact: Path) -> None:
    path = artifact / "state.safetensors"
    path.write_bytes(path.read_bytes() + rest)
    seal(artifact, manifest(artifact))
    assert "its tensors leave bytes out, or lie in one another" in refusal(artifact)


def test_a_program_that_reads_what_nothing_gives(artifact: Path, tmp_path: Path) -> None:
    found = manifest(artifact)
    text = json.dumps(found["program"])
    assert '"learning_rate": "learning_rate"' in text
    changed = text.replace('"learning_rate": "learning_rate"', '"learning_rate": "pace"')
    found["program"] = json.loads(changed)
    seal(artifact, found)
    for command in (("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN), ("inspect", artifact)):
        check_refused(call(*command), ") reads 'pace', which nothing gives", "compile the model again")


def test_a_value_that_a_run_does_not_come_to(artifact: Path, tmp_path: Path) -> None:
    """The tests of a task below 0 are none: what they give is missing, and a reader of the program cannot know it."""
    found = manifest(artifact)
    found["program"]["blocks"]["end_task"][0]["last"] = "less"
    found["program"]["counters"]["less"] = -1
    seal(artifact, found)
    outcome = call("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN, "--checkpoint", tmp_path / "run")
    check_refused(outcome, "a.sparcl: its program is damaged (nothing gives 'class_mean')", "compile the model again")
