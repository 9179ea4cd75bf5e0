"""docs/tutorials/phone.md: its class compiles for Java 8, and learns from the zip that its lines make."""

import re
import shutil
from pathlib import Path

from tests.java import support
from tests.java.jvm import ROOT, Jvm
from tests.java.test_android_example import JAVA, with_classes
from tests.runtime.kernels.arm64.machine import call

PAGE = (ROOT / "docs" / "tutorials" / "phone.md").read_text(encoding="utf-8")
TRY = """
package sparcl;

import java.nio.file.*;

final class Try {
    public static void main(String[] given) throws Exception {
        Path artifact;
        try (java.io.InputStream zip = Files.newInputStream(Paths.get(given[0]))) {
            artifact = sparcl.app.Unzipped.folder(zip, Paths.get(given[1], "artifact"));
        }
        Path state = Paths.get(given[1], "state");
        byte[] dark = new byte[64], bright = new byte[64];
        java.util.Arrays.fill(bright, (byte) 200);
        try (Teacher teacher = new Teacher(artifact, state)) {
            for (int copy = 0; copy < 12; copy++) {
                dark[copy] = (byte) copy;
                teacher.keep(dark, 8, 8, "dark");
                teacher.keep(bright, 8, 8, "bright");
            }
            System.out.println(teacher.study(() -> false));
        }
        try (Teacher again = new Teacher(artifact, state)) {
            System.out.println(again.study(() -> true));
            System.out.println(again.guess(dark, 8, 8) + " " + again.guess(bright, 8, 8));
        }
    }
}
"""


def test_the_class_of_the_page_learns(linux: Jvm, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```java\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "Teacher.java").write_text("package sparcl;\n\n" + block.replace("import sparcl.*;\n", ""))
    (tmp_path / "Try.java").write_text(TRY, encoding="utf-8")
    flags = ("--release", "8", "-Xlint:all,-options", "-Werror", "-cp", linux.classes, "-d", tmp_path / "classes")
    call("javac", *flags, *JAVA, tmp_path / "Teacher.java", tmp_path / "Try.java")
    shutil.make_archive(str(tmp_path / "model.sparcl"), "zip", support.compiled(tmp_path))  # as the page's lines do
    jvm = with_classes(linux, tmp_path / "classes")
    lines = jvm.run("Try", tmp_path / "model.sparcl.zip", tmp_path).splitlines()
    assert lines == ["false", "true", "dark bright"]
