package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.SecureRandom;
import java.util.LinkedHashMap;
import java.util.Map;

/** The folder of a learner's state: files that appear whole or not at all, under one lock (docs/learner.md). */
final class Folder implements AutoCloseable {
    static final String STATE = "state.safetensors";
    static final String PENDING = "pending.safetensors";
    /** What a run has set aside that began over a state. */
    private static final String PREVIOUS = "state.previous.safetensors";

    private static final String VERSION = "3";
    private static final String LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_";
    private static final int DIGITS = 16;
    private static final String OLD = "samples-[0-9a-f]{16}\\.safetensors";
    private static final String LEFT =
            "\\.(state|pending|samples-([0-9a-f]{16}|HASH))\\.safetensors\\.new\\.[a-z0-9_]{8}";

    final Path path;
    private final Lock lock;
    private boolean closed;

    /** Makes the folder if needed and locks it; throws SparclException where another learner has it. */
    Folder(Path path) {
        this.path = path;
        try {
            Files.createDirectories(path);
            lock = new Lock(path);
        } catch (IOException error) {
            throw unwritable(path, error);
        }
    }

    /** Throws SparclException behind {@link #close}, when another learner may have the folder. */
    void checkOpen() {
        if (closed) {
            throw new SparclException(path + ": this learner is closed; open it again with Learner.open");
        }
    }

    private static SparclException unwritable(Path path, IOException error) {
        return new SparclException(path + ": cannot be written (" + error + ")", error);
    }

    /** Removes what a killed process has left, and samples of tasks that are over. */
    void clear(String samples) {
        try (DirectoryStream<Path> found = Files.newDirectoryStream(path)) {
            for (Path one : found) {
                String name = one.getFileName().toString();
                boolean old = name.matches(OLD) && !name.equals(samples) && !mayBeAside(name);
                if (old || name.matches(LEFT)) {
                    Files.deleteIfExists(one);
                }
            }
        } catch (IOException error) {
            throw unwritable(path, error);
        }
    }

    /** Whether the state that is set aside names these samples; one that cannot be read may name anything. */
    private boolean mayBeAside(String samples) {
        try {
            Safetensors aside = read(PREVIOUS);
            Json learning = aside == null ? Json.of(null) : Json.parse(aside.metadata.get("progress")).get("learning");
            return !learning.isNull() && learning.get("file").text().equals(samples);
        } catch (SparclException | IllegalArgumentException | NullPointerException error) {
            return true;
        }
    }

    /** A file's content, checked; null where there is no file of this name. */
    Safetensors read(String name) {
        Path file = path.resolve(name);
        if (!Files.exists(file)) {
            return null;
        }
        Safetensors found;
        try {
            found = Safetensors.read(file);
        } catch (IOException | IllegalArgumentException error) {
            throw damaged(name, error.getMessage());
        }
        String version = found.metadata.getOrDefault("version", "none");
        if (!version.equals(VERSION)) {
            String line = "%s: has version %s of the state, this program reads version %s; %s";
            String mend = "use it with the program that wrote it";
            throw new SparclException(String.format(line, file, version, VERSION, mend));
        }
        if (!found.isSound()) {
            throw damaged(name, "its checksum differs");
        }
        return found;
    }

    SparclException damaged(String name, String reason) {
        String line = "%s: is damaged (%s); start with another folder as state";
        return new SparclException(String.format(line, path.resolve(name), reason));
    }

    /** Puts a file in its place at once; in its name, {@code *} stands for the first digits of the checksum. */
    String write(String name, Map<String, OnnxTensor> tensors, Map<String, String> metadata) {
        checkOpen();
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("version", VERSION);
        texts.putAll(metadata);
        Path made = path.resolve("." + name.replace("*", "HASH") + ".new." + random());
        try {
            String sum = whole(made, tensors, texts);
            String own = name.replace("*", sum.substring(0, DIGITS));
            Files.move(made, path.resolve(own), StandardCopyOption.ATOMIC_MOVE);
            flush();
            return own;
        } catch (IOException error) {
            remove(made.getFileName().toString());
            throw unwritable(path.resolve(name), error);
        }
    }

    private static String whole(Path made, Map<String, OnnxTensor> tensors, Map<String, String> texts)
            throws IOException {
        try (FileChannel file = FileChannel.open(made, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            String sum = Safetensors.write(file, tensors, texts);
            file.force(true);
            return sum;
        }
    }

    /** Has the renaming reach the disk, where folders can be opened. */
    private void flush() throws IOException {
        try (FileChannel folder = FileChannel.open(path, StandardOpenOption.READ)) {
            folder.force(true);
        } catch (java.nio.file.AccessDeniedException error) {
            return; // Windows
        }
    }

    private static String random() {
        SecureRandom random = new SecureRandom();
        StringBuilder made = new StringBuilder();
        while (made.length() < 8) {
            made.append(LETTERS.charAt(random.nextInt(LETTERS.length())));
        }
        return made.toString();
    }

    /** Removes a file if it is there. */
    void remove(String name) {
        try {
            Files.deleteIfExists(path.resolve(name));
        } catch (IOException error) {
            throw unwritable(path, error);
        }
    }

    /** Gives the lock back. */
    @Override
    public void close() {
        closed = true;
        try {
            lock.close();
        } catch (IOException error) {
            throw unwritable(path, error);
        }
    }
}
