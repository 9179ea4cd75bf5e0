"""The page of sparcl-inspect --html: the graphs with the passes that made their nodes, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from sparcl_compile.cli.inspecting import compiled
from sparcl_compile.interface.artifact import read_report
from sparcl_compile.interface.errors import ArtifactError
from sparcl_compile.pages.graphs import counts_by_origin, graphs
from tests.end_to_end.test_recording import embedded
from tests.support.cli import call, check_refused, contents, done, write_artifact, write_model

TEXTS = [
    """<ir_version: 10, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) { ["relu"] y = Relu (x) }""",
    """<ir_version: 10, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) <float[3] m, float[N,3] z> {
  ["mask"] z = Mul (x, m) ["relu"] y = Relu (z) ["clip"] c = LeakyRelu <alpha: float = 0.5> (y) }""",
]


class Trace:
    """As much of a pass's trace as graphs need."""

    def __init__(self, name: str, *origins: str) -> None:
        self.name, self.origins = name, origins


def small() -> dict[str, Any]:
    return graphs(
        [(Path(f"{n}.txt"), text) for n, text in enumerate(TEXTS)], [Trace("read"), Trace("mask_it", "mask_it")]
    )  # type: ignore[arg-type]


def test_a_node_keeps_its_origin_when_it_is_wired_anew() -> None:
    found = small()
    first, second = ([found["nodes"][number] for number in step["nodes"]] for step in found["steps"])
    assert first == [["relu", "Relu", ["x"], ["y"], {}, -1]]
    assert [(node[0], node[5]) for node in second] == [("mask", 1), ("relu", -1), ("clip", 1)]
    assert second[2][4] == {"alpha": "0.5"}
    assert found["types"] == {"x": "float [N, 3]", "y": "float [N, 3]", "m": "float [3]", "z": "float [N, 3]"}
    assert counts_by_origin(found, 1) == {"mask_it": 2}


def test_a_damaged_text_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"7.txt: the graph's text is damaged"):
        graphs([(Path("7.txt"), "nothing")], [Trace("read")])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("compiled"))


def test_every_pass_has_the_nodes_that_it_says(artifact: Path) -> None:
    one, log = compiled(artifact), read_report(artifact)
    found = graphs(one.texts, log.passes)
    assert [len(step["nodes"]) for step in found["steps"]] == [sum(t.ops_after.values()) for t in log.passes]


def test_origins_are_those_that_the_passes_have_marked(artifact: Path) -> None:
    """The text of a graph has no marks; who made a node is told by where it first appears."""
    one, log = compiled(artifact), read_report(artifact)
    found = graphs(one.texts, log.passes)
    for step, trace in enumerate(log.passes[:-1]):
        assert counts_by_origin(found, step) == dict(trace.origins), trace.name


def test_the_page_of_one_and_of_two(artifact: Path, tmp_path: Path) -> None:
    outcome = done("inspect", artifact, "--html", tmp_path / "one.html")
    assert outcome.out == f"Written to {tmp_path / 'one.html'}\n"
    (shown,) = embedded(tmp_path / "one.html")["subjects"]
    assert shown["facts"]["sparsity"] == 0.75
    assert shown["passes"][-1]["nodes"] == len(shown["graph"]["steps"][-1]["nodes"])
    done("inspect", artifact, "--html", tmp_path / "two.html", "--beside", artifact, "-q")
    assert len(embedded(tmp_path / "two.html")["subjects"]) == 2


def test_what_was_noted_when_it_was_compiled_is_said_again(tmp_path: Path) -> None:
    made = write_artifact(tmp_path, "--update", "norm", "--data-removal", "0")
    done("inspect", made, "--html", tmp_path / "a.html")
    ((note,),) = (one["notes"] for one in embedded(tmp_path / "a.html")["subjects"])
    assert "without effect, since no weight is masked" in note
    assert f"note: {note}" in done("inspect", made).out.splitlines()


def test_a_page_leaves_no_other_option_out(artifact: Path, tmp_path: Path) -> None:
    page = ("--html", tmp_path / "a.html")
    assert done("inspect", artifact, *page, "--json").out == done("inspect", artifact, "--json").out
    (tmp_path / "a.html").unlink()
    diff = ("--diff", "import_forward", "emit")
    assert done("inspect", artifact, *page, *diff).out == done("inspect", artifact, *diff).out
    assert embedded(tmp_path / "a.html")["subjects"]


def test_what_is_refused(artifact: Path, tmp_path: Path) -> None:
    before = contents(artifact)
    check_refused(call("inspect", artifact, "--html", tmp_path / "a.txt"), "--html", ".html")
    check_refused(call("inspect", artifact, "--html", artifact / "a.html"), "--html")
    check_refused(call("inspect", artifact, "--beside", artifact), "--beside", "--html FILE")
    check_refused(call("inspect", artifact, "--html", tmp_path / "a.html", "--beside", tmp_path / "no"), "no")
    check_refused(call("inspect", write_model(tmp_path), "--html", tmp_path / "a.html"), "--html", "sparcl-compile")
    check_refused(call("inspect", write_model(tmp_path), "--beside", artifact), "--beside", "sparcl-compile")
    check_refused(call("inspect", artifact, "--html", tmp_path / "a.html", "--after", "emti"), "mean emit")
    assert not list(tmp_path.glob("*.html"))
    assert contents(artifact) == before


@pytest.mark.parametrize("form", ["--compress", "--scheme channel", "--recompute"])
def test_every_form_has_a_page(tmp_path: Path, form: str) -> None:
    made = write_artifact(tmp_path, *form.split())
    done("inspect", made, "--html", tmp_path / "a.html")
    assert embedded(tmp_path / "a.html")["subjects"][0]["graph"]["steps"]
