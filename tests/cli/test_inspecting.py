import dataclasses
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import pytest

from sparcl_compile.cli import inspecting as inspect
from sparcl_compile.cli import report
from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.errors import ArtifactError, ModelError, OptionError
from sparcl_compile.interface.report import CompileReport, PassTrace
from sparcl_compile.interface.specs import GraphSpec, InputSpec
from sparcl_compile.passes.core.marks import GRAPH_KEY, ROLE_KEY
from tests.support import described
from tests.support.cli import done, write_model

NAMES = ("import_forward", "insert_weight_masks", "attach_loss")
TEXTS = (
    "<\n>\ng (float[N,4] x) => (float[N,3] y)\n{\n   y = MatMul (x, w)\n}\n",
    "<\n>\ng (float[N,4] x) => (float[N,3] y)\n{\n   m = Mul (w, w.mask)\n   y = MatMul (x, m)\n}\n",
)
OPS: tuple[dict[str, int], ...] = ({"MatMul": 1}, {"MatMul": 1, "Mul": 1}, {"MatMul": 1, "Mul": 1})


def trace(index: int) -> PassTrace:
    before, after = OPS[max(index - 1, 0)], OPS[index]
    added = {op: count for op, count in after.items() if op not in before}
    return described.trace(NAMES[index], modified=True, ops_before=before, ops_after=after, nodes_added=added)


INPUTS = (InputSpec("x", "float32", ("N", 4)), InputSpec("labels", "int64", ("N",)))
TRAIN = GraphSpec("train/training_model.onnx", INPUTS, ("loss",), ("loss",), {}, (), False)
SUMS = dataclasses.replace(TRAIN, file={"float32": "sums/float32.onnx", "uint8": "sums/uint8.onnx"})
GRAPHS = {"train": TRAIN, "sums": SUMS}
MANIFEST = described.manifest(weights=(described.weight("w", (4, 3), 6, 3),), graphs=GRAPHS)


@pytest.fixture
def log() -> CompileReport:
    return described.report(*(trace(index) for index in range(3)))


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    passes = tmp_path / "tiny.sparcl" / "passes"
    passes.mkdir(parents=True)
    for index, text in enumerate(TEXTS, start=1):
        (passes / f"{index:02d}_{NAMES[index - 1]}.txt").write_text(text)
    return passes.parent


def printed(renderable: report.RenderableType) -> str:
    out = io.StringIO()
    report.console(out).print(renderable)
    return out.getvalue()


def test_summary_lists_passes_with_counts_before_and_after(log: CompileReport) -> None:
    lines = printed(inspect.summary(MANIFEST, log)).splitlines()
    assert lines[0].rstrip() == "tiny: input 4, 3 classes, 3 passes"
    assert lines[1].rstrip() == f"Learning 3 classes by output {MANIFEST.model.output}"
    masks = next(line for line in lines if line.startswith("insert_weight_masks"))
    assert masks.split() == ["insert_weight_masks", "1", "->", "2", "+1", "Mul", "1", "MatMul,", "1", "Mul"]
    train = next(line for line in lines if line.startswith("train "))
    assert train.split() == ["train", "train/training_model.onnx", "2", "1"]
    sums = next(line for line in lines if line.startswith("sums "))
    assert sums.split() == ["sums", "sums/float32.onnx,", "sums/uint8.onnx", "2", "1"]


def test_facts_leave_out_checksums(log: CompileReport) -> None:
    found = inspect.facts(MANIFEST, log)
    assert found["passes"] == plain(log.passes)
    assert found["weights"] == plain(MANIFEST.weights)
    assert "files" not in found


def test_text_after(folder: pathlib.Path, log: CompileReport) -> None:
    assert inspect.text_after(folder, log, "insert_weight_masks") == TEXTS[1]


def test_diff_shows_lines_and_operator_counts(folder: pathlib.Path, log: CompileReport) -> None:
    assert inspect.diff(folder, log, "import_forward", "insert_weight_masks").splitlines() == [
        "--- after import_forward",
        "+++ after insert_weight_masks",
        "@@ -4,3 +4,4 @@",
        " {",
        "-   y = MatMul (x, w)",
        "+   m = Mul (w, w.mask)",
        "+   y = MatMul (x, m)",
        " }",
        "",
        "nodes: 1 after import_forward, 2 after insert_weight_masks",
        "  Mul: 0 -> 1 (+1)",
    ]


def test_diff_backwards_and_with_itself(folder: pathlib.Path, log: CompileReport) -> None:
    assert "  Mul: 1 -> 0 (-1)" in inspect.diff(folder, log, "insert_weight_masks", "import_forward")
    same = inspect.diff(folder, log, "import_forward", "import_forward").splitlines()
    assert same[0] == "no difference"
    assert len(same) == 3


@pytest.mark.parametrize(
    ("given", "hint"),
    [("insert_weight_mask", "did you mean insert_weight_masks? "), ("../../etc/passwd", ""), ("", ""), (".*", "")],
)
def test_unknown_pass_lists_the_known(folder: pathlib.Path, log: CompileReport, given: str, hint: str) -> None:
    with pytest.raises(OptionError) as caught:
        inspect.text_after(folder, log, given)
    message = str(caught.value)
    assert message == f"--after {given}: no such pass; {hint}give one of {', '.join(NAMES)}"
    with pytest.raises(OptionError, match=r"^--diff "):
        inspect.diff(folder, log, "import_forward", given)


def test_a_phase_stands_for_its_last_pass(folder: pathlib.Path, log: CompileReport) -> None:
    assert inspect.text_after(folder, log, "sparsifying") == TEXTS[1]
    by_phase = inspect.diff(folder, log, "importing", "sparsifying")
    assert by_phase == inspect.diff(folder, log, "import_forward", "insert_weight_masks")
    names = ("freeze_parameters", "insert_weight_masks", "attach_loss", "a_pass_of_someone_else")
    assert inspect.known_pass("sparsifying", names, "--after") == "insert_weight_masks"
    assert inspect.known_pass("differentiating", names, "--after") == "attach_loss"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("emitting", "no pass of this phase runs here; "),
        ("sparsifing", "no such pass; did you mean sparsifying? "),
        ("core", "no such pass; "),
    ],
)
def test_a_phase_that_did_not_run_is_refused(
    folder: pathlib.Path, log: CompileReport, given: str, problem: str
) -> None:
    with pytest.raises(OptionError) as caught:
        inspect.text_after(folder, log, given)
    assert str(caught.value) == f"--after {given}: {problem}give one of {', '.join(NAMES)}"


def test_missing_and_unreadable_text(folder: pathlib.Path, log: CompileReport) -> None:
    with pytest.raises(ArtifactError, match="the graph after attach_loss is missing; compile the model again"):
        inspect.text_after(folder, log, "attach_loss")
    (folder / "passes" / "01_import_forward.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ArtifactError, match=r"01_import_forward\.txt: the graph's text cannot be read"):
        inspect.diff(folder, log, "insert_weight_masks", "import_forward")


MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 4] x) => (float[batch, 3] y) {
    b = Constant<value = float[3] {1., 2., 3.}>()
    h = MatMul(x, w)
    y = Add(h, b)
}"""


@pytest.fixture
def model_file(tmp_path: pathlib.Path) -> pathlib.Path:
    proto = onnx.parser.parse_model(MODEL)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w"))
    path = tmp_path / "my model.onnx"
    onnx.save(proto, path)
    return path


def test_model_facts(model_file: pathlib.Path) -> None:
    assert inspect.model_facts(model_file) == {
        "file": str(model_file),
        "ir_version": 8,
        "opsets": {"ai.onnx": 17},
        "inputs": [{"name": "x", "shape": ["batch", 4], "dtype": "FLOAT"}],
        "outputs": [{"name": "y", "shape": ["batch", 3], "dtype": "FLOAT"}],
        "ops": {"Constant": 1, "MatMul": 1, "Add": 1},
        "parameters": 15,
        "macs": 12,
        "macs_unknown": "",
        "passes": [],
    }


def test_model_summary_says_how_to_compile(model_file: pathlib.Path) -> None:
    text = printed(inspect.model_summary(model_file))
    assert "x FLOAT [batch, 4]" in text
    assert f"sparcl-compile '{model_file}' --sparsity 0.8" in text


def test_model_whose_cost_is_unknown_is_still_shown(tmp_path: pathlib.Path) -> None:
    text = MODEL.replace("MatMul(x, w)", 'Einsum<equation = "ni,ij->nj">(x, x)')
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    found = inspect.model_facts(path)
    assert found["macs"] is None
    assert found["macs_unknown"].startswith("node h (Einsum): no rule")
    assert "no rule" in printed(inspect.model_summary(path))


def test_model_with_a_value_from_nowhere(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), path)
    with pytest.raises(ModelError, match="nothing in the graph makes the value w"):
        inspect.model_facts(path)


@pytest.mark.parametrize("content", [b"", b"hello, this is no model\n", bytes(range(256)) * 4])
def test_file_that_is_no_model(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx(: not an ONNX file| is empty| is not an ONNX model)"):
        inspect.model_facts(path)


def test_truncated_missing_and_unreadable_model(model_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model_file.write_bytes(model_file.read_bytes()[:-20])
    with pytest.raises(ModelError, match="is not an ONNX model or is truncated"):
        inspect.model_facts(model_file)
    with pytest.raises(ModelError, match="no such file"):
        inspect.model_facts(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        inspect.model_facts(tmp_path)


def test_roles_of_a_foreign_model_mean_nothing_and_damaged_ones_of_our_own_are_named(model_file: pathlib.Path) -> None:
    plain = inspect.model_facts(model_file)
    proto = onnx.load(model_file)
    proto.graph.initializer[0].metadata_props.add(key=ROLE_KEY, value="weight")
    proto.graph.input[0].metadata_props.add(key=ROLE_KEY, value="weight")
    onnx.save(proto, model_file)
    assert inspect.model_facts(model_file) == plain
    proto.metadata_props.add(key=GRAPH_KEY, value="1")
    onnx.save(proto, model_file)
    with pytest.raises(ModelError, match=f"the metadata {ROLE_KEY} of .* are damaged; make the file again"):
        inspect.model_facts(model_file)


def test_model_whose_external_weights_are_gone_is_still_shown(model_file: pathlib.Path) -> None:
    proto = onnx.load(model_file)
    onnx.save(proto, model_file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    os.unlink(model_file.parent / "weights.bin")
    assert inspect.model_facts(model_file)["macs"] == 12


def test_reader_that_closes_its_pipe_is_no_error() -> None:
    code = "from sparcl_compile.cli.inspecting import write_text; write_text('line\\n' * 1_000_000)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0


def test_write_text_to_a_file() -> None:
    out = io.StringIO()
    inspect.write_text("graph\n", out)
    assert out.getvalue() == "graph\n"


def test_model_with_an_attribute_of_another_type(model_file: pathlib.Path) -> None:
    proto = onnx.load(model_file)
    next(node for node in proto.graph.node if node.op_type == "Constant").attribute[0].type = onnx.AttributeProto.GRAPHS
    onnx.save(proto, model_file)
    with pytest.raises(ModelError, match=r"attribute value of node .* is of type GRAPHS, not TENSOR; export the model"):
        inspect.model_facts(model_file)


def test_a_graph_between_passes_is_no_model_to_compile(tmp_path: pathlib.Path) -> None:
    model = write_model(tmp_path)
    assert "Not compiled yet. Compile it: sparcl-compile " in done("inspect", model).out
    done(
        "opt",
        model,
        "-p",
        "import_forward,mark_dense_weights,insert_weight_masks{sparsity=0.5}",
        "-o",
        tmp_path / "m.onnx",
    )
    shown = done("inspect", tmp_path / "m.onnx").out
    assert "A graph between passes. To compile, give the model that it was made from." in shown
    assert "sparcl-compile " not in shown
    assert "insert_weight_masks" in json.loads(done("inspect", tmp_path / "m.onnx", "--json").out)["passes"]
