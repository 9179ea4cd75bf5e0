package sparcl.app;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** An artifact out of the app's assets, where it is a zip, as a folder: ONNX Runtime opens files. */
public final class Unzipped {
    private Unzipped() {}

    /** Unpacks a zip to a folder that is not there yet; it gets its name when it is whole. */
    public static Path folder(InputStream zip, Path folder) throws IOException {
        if (Files.exists(folder)) {
            return folder;
        }
        Path part = folder.resolveSibling(folder.getFileName() + ".part");
        remove(part);
        Files.createDirectories(part);
        try (ZipInputStream entries = new ZipInputStream(zip)) {
            for (ZipEntry entry = entries.getNextEntry(); entry != null; entry = entries.getNextEntry()) {
                write(entries, entry, part);
            }
        }
        return Files.move(part, folder, StandardCopyOption.ATOMIC_MOVE);
    }

    private static void write(ZipInputStream entries, ZipEntry entry, Path folder) throws IOException {
        Path path = folder.resolve(entry.getName()).normalize();
        if (!path.startsWith(folder)) {
            throw new IOException(entry.getName() + ": leads out of the artifact");
        }
        if (entry.isDirectory()) {
            return;
        }
        Files.createDirectories(path.getParent());
        Files.copy(entries, path);
    }

    private static void remove(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> found = Files.walk(folder)) {
            for (Path path : (Iterable<Path>) found.sorted(Comparator.reverseOrder())::iterator) {
                Files.delete(path);
            }
        }
    }
}
