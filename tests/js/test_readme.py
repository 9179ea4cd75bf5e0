"""The example of runtime/js/README.md runs, as a program that has the package installed would have it."""

import re
import subprocess
from pathlib import Path

from tests.conformance.kit import Kit
from tests.js import tools

BLOCK = re.compile(r"^<!-- runs in \S+ -->\n```js\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GIVEN = """
const dims = [8, 1, 8, 8];
const samples = { data: Uint8Array.from({ length: 512 }, (_, place) => (place * 31) % 256), dims };
const labels = ["a", "b", "a", "b", "a", "b", "a", "b"];
const [sample, label] = [{ data: new Uint8Array(64), dims: [1, 8, 8] }, "c"];
"""
SHOWN = "\nconsole.log(answers.names.length, answers.classes.join());\n"


def test_the_example_runs(portable_kits: dict[str, Kit], tmp_path: Path) -> None:
    (text,) = BLOCK.findall((tools.PACKAGE / "README.md").read_text(encoding="utf-8"))
    imports, rest = text.split("\n\n", 1)
    (tmp_path / "example.mjs").write_text(imports + GIVEN + rest + SHOWN, encoding="utf-8")
    (tmp_path / "model.sparcl").symlink_to(portable_kits["der"].artifact)
    packages = tmp_path / "node_modules"
    packages.mkdir()
    (packages / "sparcl-js").symlink_to(tools.PACKAGE)
    (packages / "onnxruntime-node").symlink_to(tools.PACKAGE / "node_modules" / "onnxruntime-node")
    done = subprocess.run(["node", "example.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "8 a,b,c\n"), done.stderr
    assert (tmp_path / "state" / "state.safetensors").is_file()
