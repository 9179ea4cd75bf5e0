package sparcl;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The sessions of graphs, each opened when it is asked for first, so that they take little memory together. */
final class Sessions implements AutoCloseable {
    private final Map<Path, OrtSession> sessions = new HashMap<>();
    private final List<OrtSession.SessionOptions> opened = new ArrayList<>();
    private final int threads;
    private final Path kernels;

    /** Sessions of so many threads; {@code kernels} is the library of sparse kernels or null. */
    Sessions(int threads, Path kernels) {
        this.threads = threads;
        this.kernels = kernels;
    }

    /** The session of a file, which needs the library of sparse kernels or does not. */
    OrtSession of(Path file, boolean sparse) {
        return sessions.computeIfAbsent(file, path -> open(path.toString(), sparse));
    }

    private OrtSession open(String path, boolean sparse) {
        OrtSession.SessionOptions options = new OrtSession.SessionOptions();
        // Not closed before the session is: that unloads the kernels.
        opened.add(options);
        try {
            options.setIntraOpNumThreads(threads);
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
            options.setMemoryPatternOptimization(false);
            // Each session has a pool of its own, which keeps what the others could use.
            options.setCPUArenaAllocator(false);
            // Else the threads of one session go on spinning for milliseconds, on the cores of the next one.
            options.addConfigEntry("session.force_spinning_stop", "1");
            if (sparse) {
                options.registerCustomOpLibrary(kernels.toString());
            }
            return OrtEnvironment.getEnvironment().createSession(path, options);
        } catch (OrtException error) {
            throw new SparclException(path + ": ONNX Runtime cannot load it (" + error.getMessage() + ")", error);
        }
    }

    @Override
    public void close() {
        for (OrtSession session : sessions.values()) {
            try {
                session.close();
            } catch (OrtException error) {
                throw new IllegalStateException(error);
            }
        }
        sessions.clear();
        opened.forEach(OrtSession.SessionOptions::close);
        opened.clear();
    }
}
