"""The parts of examples/android that need no Android: they compile against the driver, and do what the app asks."""

import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.android.package import RUNTIME
from tests.java import support
from tests.java.jvm import FETCH, ROOT, Jvm
from tests.runtime.kernels.arm64.machine import call

APP = ROOT / "examples" / "android" / "app"
JAVA = sorted((APP / "src/main/java").rglob("*.java"))
KOTLIN = APP / "src/main/kotlin/sparcl/app"
PLAIN = KOTLIN / "Teacher.kt"
"""The file of Kotlin that names nothing of Android."""
CHECK = """
package sparcl;

import java.nio.file.*;
import java.util.*;
import sparcl.app.*;

final class Check {
    public static void main(String[] given) throws Exception {
        try (java.io.InputStream zip = Files.newInputStream(Paths.get(given[0]))) {
            Path artifact = Unzipped.folder(zip, Paths.get(given[1]));
            int[] pixels = {0xff102030, 0x00405060};
            Samples one = Pixels.sample(pixels, 1);
            byte[] found = new byte[6];
            one.content.duplicate().get(found);
            System.out.println(Arrays.toString(one.shape) + " " + Arrays.toString(found));
            System.out.println(new Artifact(artifact).identity.length());
        }
    }
}
"""


def built(jvm: Jvm, folder: Path) -> Path:
    """The classes of the app's Java files and of a program that tries them."""
    (folder / "Check.java").write_text(CHECK, encoding="utf-8")
    classes = folder / "classes"
    flags = ("--release", "8", "-Xlint:all,-options", "-Werror", "-cp", jvm.classes, "-d", classes)
    call("javac", *flags, *JAVA, folder / "Check.java")
    return classes


def zipped(artifact: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for file in artifact.rglob("*"):
            made.write(file, file.relative_to(artifact))
    return path


def with_classes(jvm: Jvm, classes: Path) -> Jvm:
    return Jvm(jvm.library, f"{jvm.classes}:{classes}", jvm.native)


def test_the_artifact_comes_out_of_the_assets_and_pixels_become_samples(linux: Jvm, tmp_path: Path) -> None:
    jvm = with_classes(linux, built(linux, tmp_path))
    archive, folder = zipped(support.compiled(tmp_path), tmp_path / "model.zip"), tmp_path / "files" / "model.sparcl"
    folder.parent.mkdir()
    (folder.parent / "model.sparcl.part" / "left").mkdir(parents=True)  # of a start that was killed
    for _ in range(2):
        lines = jvm.run("Check", archive, folder).splitlines()
        assert lines == ["[1, 2, 1, 3] [16, 32, 48, 64, 80, 96]", "64"]
    assert [path.name for path in folder.parent.iterdir()] == ["model.sparcl"]


def test_a_zip_that_leads_elsewhere_is_refused(linux: Jvm, tmp_path: Path) -> None:
    jvm = with_classes(linux, built(linux, tmp_path))
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as made:
        made.writestr("../outside", "")
    done = jvm.tried("Check", tmp_path / "model.zip", tmp_path / "model.sparcl")
    assert "leads out of the artifact" in done.stderr
    assert not (tmp_path / "outside").exists()


@pytest.mark.skipif(FETCH not in os.environ, reason="`make test-java` compiles it: Kotlin's compiler takes a while")
def test_kotlin_calls_the_learner_as_it_is(linux: Jvm, tmp_path: Path) -> None:
    if shutil.which("kotlinc") is None:
        pytest.skip("kotlinc: not found; on Debian, apt install kotlin")
    classes = built(linux, tmp_path)
    call("kotlinc", "-nowarn", "-jvm-target", "1.8", "-cp", f"{linux.classes}:{classes}", "-d", classes, PLAIN)
    assert (classes / "sparcl" / "app" / "Teacher.class").exists()


def test_one_file_of_kotlin_names_nothing_of_android() -> None:
    found = {path.name for path in KOTLIN.glob("*.kt") if not re.search(r"^import android", path.read_text(), re.M)}
    assert found == {PLAIN.name}


def test_the_app_takes_the_version_that_was_run() -> None:
    assert f"com.microsoft.onnxruntime:onnxruntime-android:{RUNTIME}'" in (APP / "build.gradle").read_text()
