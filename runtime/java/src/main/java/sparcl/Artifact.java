package sparcl;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** A checked artifact: its folder and its manifest (docs/interfaces.md). */
final class Artifact {
    private static final String MANIFEST = "manifest.json";
    private static final String FORMAT = "sparcl-artifact";
    private static final long VERSION = 2;
    private static final String AGAIN = "compile the model again";

    final Path folder;
    final Json manifest;

    /** The checksum of the manifest, which holds those of all other files. */
    final String identity;

    /** Reads and checks an artifact; throws SparclException where it is none, of another version or damaged. */
    Artifact(Path folder) {
        this.folder = folder;
        byte[] content = content(MANIFEST);
        identity = hex(sha256().digest(content));
        manifest = parsed(new String(content, StandardCharsets.UTF_8));
        String sums = new String(content("manifest.sha256"), StandardCharsets.UTF_8);
        if (!sums.contains(identity + "  " + MANIFEST + "\n")) {
            throw damaged(MANIFEST);
        }
        for (String name : manifest.get("files").names()) {
            if (!hex(sha256().digest(content(name))).equals(manifest.get("files").get(name).text())) {
                throw damaged(name);
            }
        }
    }

    private Json parsed(String text) {
        Json found;
        try {
            found = Json.parse(text);
        } catch (IllegalArgumentException error) {
            throw damaged(MANIFEST);
        }
        if (!FORMAT.equals(found.get("format").plain)) {
            throw new SparclException(folder + ": is no artifact; make one with sparcl-compile MODEL.onnx");
        }
        if (found.get("version").integer() != VERSION) {
            String line = "%s: has artifact version %s, this program reads version %d; %s";
            throw new SparclException(String.format(line, folder, found.get("version"), VERSION, AGAIN));
        }
        return found;
    }

    /** Throws SparclException where the method is for whole runs alone: its program answers no questions. */
    void checkForApps() {
        if (manifest.get("program").get("blocks").get("predict").isNull()) {
            String method = manifest.get("options").get("method").text();
            String line = "%s: its method (%s) is for whole runs by sparcl-run, not for a learner; ";
            throw new SparclException(String.format(line, folder, method) + AGAIN + " with another --method");
        }
    }

    /** Throws SparclException where a graph needs the library of sparse kernels, and none is given. */
    void checkKernels(Path library) {
        for (String graph : manifest.get("graphs").names()) {
            if (library == null && manifest.get("graphs").get(graph).get("kernels").flag()) {
                String mend = "name their library with Options.kernels, or compile the model without --compress";
                throw new SparclException(folder + ": needs sparse kernels; " + mend);
            }
        }
    }

    /** The file of a graph; {@code samples} is the type of the raw samples, for a graph that reads them. */
    Path path(String graph, String samples) {
        Json file = manifest.get("graphs").get(graph).get("file");
        Json own = file.isText() ? file : file.get(samples);
        if (own.isNull()) {
            String line = "%s: has no graph %s for %s samples; give samples of another type";
            throw new SparclException(String.format(line, folder, graph, samples));
        }
        return folder.resolve(own.text());
    }

    /** The file of the state's first values. */
    Path state() {
        return folder.resolve(manifest.get("state_file").text());
    }

    /** The bytes of a file; one that lies elsewhere, or that a link leads to, is refused. */
    private byte[] content(String name) {
        Path path = folder.resolve(name).normalize();
        boolean inside = path.startsWith(folder.normalize()) && !name.startsWith("/");
        for (Path place = path; inside && !place.equals(folder.normalize()); place = place.getParent()) {
            inside = !Files.isSymbolicLink(place);
        }
        if (!inside || !Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)) {
            throw new SparclException(folder + ": is no whole artifact (no " + name + "); " + AGAIN);
        }
        try {
            return Files.readAllBytes(path);
        } catch (IOException error) {
            throw new SparclException(path + ": cannot be read (" + error + ")", error);
        }
    }

    private SparclException damaged(String name) {
        return new SparclException(folder.resolve(name) + ": is damaged (its checksum differs); " + AGAIN);
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every platform has it
        }
    }

    static String hex(byte[] digest) {
        StringBuilder made = new StringBuilder();
        for (byte one : digest) {
            made.append(String.format("%02x", one));
        }
        return made.toString();
    }
}
