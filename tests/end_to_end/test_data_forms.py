"""Data as people have them: sequences, volumes, other keys and labels, images of any size, tasks of given sizes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from sparcl_compile import predict
from sparcl_compile.interface.artifact import load as load_artifact
from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data.fitting import load_for
from tests.support.cli import call, check_refused, done, read_json, write_artifact

RUN = ("--tasks", "2", "--epochs", "1", "--batch-size", "8", "--buffer", "10", "--threads", "1")
CLASSES = 4


def conv_model(path: Path, sample: tuple[int, ...], channels: int) -> Path:
    """A convolution over all axes but the channels, which are the first or, transposed to it, the last one."""
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(8, channels, *[1] * (len(sample) - 1))).astype(np.float32)
    head = rng.normal(size=(CLASSES, 8)).astype(np.float32)
    last = sample[-1] == channels
    axes = [0, len(sample), *range(1, len(sample))]
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=axes)] if last else []
    nodes += [
        helper.make_node("Conv", ["t" if last else "x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "h"], ["z"], transB=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *sample])]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", CLASSES])]
    weights = [numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(head, "h")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def samples(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    y = np.arange(40) % CLASSES
    return (rng.normal(size=(40, *shape)) + y.reshape(-1, *[1] * len(shape))).astype(np.float32), y


@pytest.mark.parametrize(
    ("sample", "channels", "layout"),
    [((3, 20), 3, "NCT"), ((20, 3), 3, "NTC"), ((3, 4, 5, 6), 3, "NCDHW"), ((5, 4, 6, 3), 3, "NDHWC")],
)
def test_samples_in_the_models_own_axes(sample: tuple[int, ...], channels: int, layout: str, tmp_path: Path) -> None:
    artifact = tmp_path / "m.sparcl"
    done("compile", conv_model(tmp_path / "m.onnx", sample, channels), "--sparsity", "0.5")
    x, y = samples(*sample)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    source = f"npz:{tmp_path / 'data.npz'}"
    model = load_artifact(artifact).manifest.model
    assert (model.layout, model.input_shape) == (layout, sample)
    found = load_for(source, model)
    as_channels_first = np.moveaxis(x, -1, 1) if sample[-1] == channels else x
    np.testing.assert_array_equal(
        found.x_train[:4].reshape(4, channels, -1), as_channels_first[:4].reshape(4, channels, -1)
    )
    done("run", artifact, "--data", source, *RUN, "--json", tmp_path / "result.json")
    assert len(read_json(tmp_path / "result.json")["accuracy_matrix"]) == 2
    done("export", artifact)
    session = onnxruntime.InferenceSession(tmp_path / "m.learned.onnx", providers=["CPUExecutionProvider"])
    noted = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(noted[f"normalise.{name}"]), np.float32) for name in ("mean", "std"))
    by_channel = [1, *[channels if length == channels else 1 for length in sample]]
    ready = (x - mean.reshape(by_channel)) / std.reshape(by_channel)
    exported = session.run(None, {session.get_inputs()[0].name: ready.astype(np.float32)})[0]
    learned = predict(load_artifact(artifact), x)
    assert noted["input.layout"] == layout
    np.testing.assert_allclose(exported, learned, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 20, 1), (3, 1, 20), (1, 3, 20)])
def test_axes_of_one_do_not_matter(shape: tuple[int, ...], tmp_path: Path) -> None:
    done("compile", conv_model(tmp_path / "m.onnx", (3, 20), 3))
    x, y = samples(3, 20)
    np.savez(tmp_path / "data.npz", x=x.reshape(-1, *shape), y=y)
    model = load_artifact(tmp_path / "m.sparcl").manifest.model
    found = load_for(f"npz:{tmp_path / 'data.npz'}", model)
    np.testing.assert_array_equal(found.x_train[:4], x[:4, :, :, None])


@pytest.mark.parametrize(
    ("shape", "mend"), [((20, 3), "transpose the data to 3x20"), ((60,), "reshape the data to 3x20")]
)
def test_other_axes_are_refused_with_what_to_do(shape: tuple[int, ...], mend: str, tmp_path: Path) -> None:
    done("compile", conv_model(tmp_path / "m.onnx", (3, 20), 3))
    x, y = samples(3, 20)
    np.savez(tmp_path / "data.npz", x=np.moveaxis(x, 1, 2) if len(shape) == 2 else x.reshape(-1, 60), y=y)
    check_refused(call("run", tmp_path / "m.sparcl", "--data", f"npz:{tmp_path / 'data.npz'}", *RUN), mend)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    done("run", tmp_path / "m.sparcl", "--data", f"npz:{tmp_path / 'data.npz'}", *RUN)


def test_as_many_steps_as_channels_stay_in_their_axes(tmp_path: Path) -> None:
    done("compile", conv_model(tmp_path / "m.onnx", (4, 4), 4))
    x, y = samples(4, 4)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    model = load_artifact(tmp_path / "m.sparcl").manifest.model
    first = load_for(f"npz:{tmp_path / 'data.npz'}", dataclasses.replace(model, layout="NCT"))
    last = load_for(f"npz:{tmp_path / 'data.npz'}", dataclasses.replace(model, layout="NTC"))
    np.testing.assert_array_equal(first.x_train[:4, :, :, 0], x[:4])
    np.testing.assert_array_equal(last.x_train[:4, :, :, 0], np.moveaxis(x[:4], 1, 2))


def test_a_table_is_learned_by_a_model_of_series(tmp_path: Path) -> None:
    artifact = tmp_path / "m.sparcl"
    done("compile", conv_model(tmp_path / "m.onnx", (3, 20), 3), "--sparsity", "0.5")
    x, y = samples(3, 20)
    named = [
        ",".join([*(f"{value:.9g}" for value in row.ravel()), f"class{label}"]) for row, label in zip(x, y, strict=True)
    ]
    head = ",".join([*(f"v{number}" for number in range(60)), "activity"])
    (tmp_path / "data.csv").write_text("\n".join([head, *named]), encoding="utf-8")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    results = []
    for source in (f"csv:{tmp_path / 'data.csv'}", f"npz:{tmp_path / 'data.npz'}"):
        told = done("run", artifact, "--data", source, *RUN, "--json", tmp_path / "result.json")
        results.append(read_json(tmp_path / "result.json")["accuracy_matrix"])
        assert ("note: no column is called label, class, target" in told.out + told.err) == source.startswith("csv")
    assert results[0] == results[1]
    (tmp_path / "data.csv").write_text("\n".join([head, *named, "1,2"]), encoding="utf-8")
    check_refused(
        call("run", artifact, "--data", f"csv:{tmp_path / 'data.csv'}", *RUN),
        "data.csv: line 42 has 2 cells for 61 columns",
    )


@pytest.mark.parametrize("sample", [(3, 20), (20, 3)])
def test_series_are_augmented_where_a_run_asks_for_it(sample: tuple[int, int], tmp_path: Path) -> None:
    artifact = tmp_path / "m.sparcl"
    done("compile", conv_model(tmp_path / "m.onnx", sample, 3), "--sparsity", "0.5")
    graphs = load_artifact(artifact).manifest.graphs.keys()
    assert ("jitter_shift_scale" in graphs, "crop_flip" in graphs) == (True, False)
    x, y = samples(*sample)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    learned = []
    for augment in ("auto", "none", "jitter_shift_scale", "jitter_shift_scale"):
        done("run", artifact, "--data", f"npz:{tmp_path / 'data.npz'}", *RUN, "--augment", augment)
        learned.append(predict(load_artifact(artifact), x).tobytes())
    assert learned[0] == learned[1] != learned[2] == learned[3]
    refused = call("run", artifact, "--data", f"npz:{tmp_path / 'data.npz'}", *RUN, "--augment", "crop_flip")
    layout = load_artifact(artifact).manifest.model.layout
    check_refused(refused, f"--augment crop_flip: does not suit samples of layout {layout}", "jitter_shift_scale")


# Images


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of a model that takes 3x8x8 images of five classes."""
    return write_artifact(tmp_path_factory.mktemp("artifact"))


def put(folder: Path, mode: str = "RGB", size: tuple[int, int] = (8, 8), grows: int = 0, ending: str = "png") -> None:
    for label in range(5):
        (folder / str(label)).mkdir(parents=True)
        for number in range(5):
            image = Image.new(mode, (size[0] + grows * number, size[1]), 40 * label)
            image.save(folder / str(label) / f"{number}.{ending}", format="JPEG" if ending == "jfif" else None)


@pytest.mark.parametrize(
    ("form", "notes"),
    [
        ({}, []),
        ({"ending": "jfif"}, []),
        ({"size": (20, 16)}, ["25 of 25 images resized to the model's 8x8 pixels"]),
        ({"grows": 1}, ["20 of 25 images resized to the model's 8x8 pixels"]),
        ({"mode": "L"}, ["25 of 25 images made RGB, as the model takes them"]),
    ],
)
def test_images_are_made_what_the_model_takes(
    form: dict[str, object], notes: list[str], artifact: Path, tmp_path: Path
) -> None:
    put(tmp_path / "images", **form)  # type: ignore[arg-type]
    found = load_for(f"folder:{tmp_path / 'images'}", load_artifact(artifact).manifest.model)
    assert (found.sample_shape, list(found.notes)) == ((3, 8, 8), notes)
    for label in range(5):
        if form.get("ending") != "jfif":
            assert found.x_train[found.y_train == label][:, 1].max() == (40 * label if "mode" in form else 0)


def test_colours_become_grey_for_a_grey_model(artifact: Path, tmp_path: Path) -> None:
    model = dataclasses.replace(load_artifact(artifact).manifest.model, input_shape=(1, 8, 8))
    put(tmp_path / "images")
    found = load_for(f"folder:{tmp_path / 'images'}", model)
    assert (found.sample_shape, found.augment) == ((1, 8, 8), "none")
    assert list(found.notes) == ["25 of 25 images made grey, as the model takes them"]


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation"])
def test_names_of_the_test_images(name: str, artifact: Path, tmp_path: Path) -> None:
    put(tmp_path / "images" / "train")
    put(tmp_path / "images" / name)
    found = load_for(f"folder:{tmp_path / 'images'}", load_artifact(artifact).manifest.model)
    assert (len(found.x_train), len(found.x_test), found.classes) == (25, 25, ("0", "1", "2", "3", "4"))


def test_another_folder_beside_train_is_a_class(artifact: Path, tmp_path: Path) -> None:
    put(tmp_path / "images" / "train")
    put(tmp_path / "images" / "holdout")
    with pytest.raises(DataError, match="holds no images"):
        load_for(f"folder:{tmp_path / 'images'}", load_artifact(artifact).manifest.model)


def scaling(path: Path) -> Path:
    """The model behind ``(x - 0.485) / 0.229``, as for images of 0 to 1."""
    model = onnx.load(path)
    model.graph.node[0].input[0] = "scaled"
    steps = [helper.make_node("Sub", ["x", "mean"], ["moved"]), helper.make_node("Div", ["moved", "std"], ["scaled"])]
    for place, node in enumerate(steps):
        model.graph.node.insert(place, node)
    numbers = {"mean": 0.485, "std": 0.229}
    model.graph.initializer.extend(numpy_helper.from_array(np.float32(one), name) for name, one in numbers.items())
    onnx.save(model, path)
    return path


def test_who_only_runs_a_model_that_scales_its_samples_is_told(tmp_path: Path) -> None:
    artifact = tmp_path / "m.sparcl"
    done("compile", scaling(conv_model(tmp_path / "m.onnx", (3, 20), 3)), "--sparsity", "0.5")
    x, y = samples(3, 20)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    run = ("run", artifact, "--data", f"npz:{tmp_path / 'd.npz'}", *RUN)
    told = "note: the model scales its samples itself, and a run normalises them before; if the model was made for"
    assert told in done(*run).out
    assert "scales its samples" not in done(*run, "--normalise", "raw").out


def test_the_notes_are_printed(artifact: Path, tmp_path: Path) -> None:
    put(tmp_path / "images", size=(9, 9))
    run = ["run", artifact, "--data", f"folder:{tmp_path / 'images'}", *RUN, "--checkpoint", tmp_path / "run"]
    assert "note: 25 of 25 images resized to the model's 8x8 pixels\n" in done(*run).out


# Keys, labels and tasks


def split_arrays(keys: tuple[str, ...], labels: np.ndarray) -> dict[str, np.ndarray]:
    x = np.random.default_rng(3).integers(0, 256, (len(labels), 3, 8, 8)).astype(np.uint8)
    return dict(zip(keys, (x, labels, x, labels), strict=False))


Y = np.arange(25) % 5


@pytest.mark.parametrize(
    ("keys", "labels"),
    [
        (("train_images", "train_labels", "test_images", "test_labels"), Y[:, None]),
        (("train_images", "train_labels", "val_images", "val_labels"), Y),
        (("X_train", "y_train", "X_test", "y_test"), Y),
        (("X_train", "Y_train", "X_test", "Y_test"), Y + 1),
        (("X", "Y"), Y),
        (("X", "y"), np.eye(5)[Y]),
        (("data", "target"), np.array(["a", "b", "c", "d", "e"])[Y]),
    ],
)
def test_keys_and_labels(keys: tuple[str, ...], labels: np.ndarray, artifact: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **split_arrays(keys, labels))
    found = load_for(f"npz:{tmp_path / 'data.npz'}", load_artifact(artifact).manifest.model)
    assert sorted({*found.y_train.tolist()}) == [0, 1, 2, 3, 4]
    assert len(found.x_train) + len(found.x_test) == (50 if len(keys) == 4 else 25)


@pytest.mark.parametrize("keys", [("x_train", "y_train", "x_test", "labels"), ("X", "labels_of_x"), ("images", "y")])
def test_keys_that_say_nothing(keys: tuple[str, ...], artifact: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **split_arrays(keys, Y))
    with pytest.raises(DataError, match=f"the file holds {', '.join(keys)}; save it with the keys x_train"):
        load_for(f"npz:{tmp_path / 'data.npz'}", load_artifact(artifact).manifest.model)


def test_tasks_of_given_sizes(artifact: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **split_arrays(("x", "y"), Y))
    run = ["run", artifact, "--data", f"npz:{tmp_path / 'data.npz'}", *RUN, "--checkpoint", tmp_path / "run"]
    done(*run, "--tasks", "3,1,1", "--json", tmp_path / "result.json")
    assert read_json(tmp_path / "result.json")["classes_by_task"] == [[0, 1, 2], [3], [4]]
    done(*run, "--tasks", "3,1,1", "--resume")
    check_refused(call(*run, "--tasks", "1,3,1", "--resume"), "belongs to a run with --tasks [")
    check_refused(call(*run, "--tasks", "3", "--resume"), "belongs to a run with --tasks [", "this one has 3;")
    check_refused(call(*run, "--tasks", "3,1"), "--tasks 3,1: ", "these are 4", "add up to 5")
    check_refused(call(*run, "--tasks", "3,0,2"), "--tasks 3,0,2: give at least 1 class")
    for text in ("3,", "a,b", "3;2", ""):
        check_refused(call(*run, "--tasks", text), "--tasks")
