package sparcl;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Graphs over named state: the one place that calls ONNX Runtime.
 *
 * <p>A graph input that is the name of a state tensor is fed from the state, any other from the caller; an output that
 * the manifest calls the next value of a state tensor replaces it (docs/interfaces.md). The engine owns the state; the
 * caller owns, and closes, what it feeds and what it gets.
 */
final class Engine implements AutoCloseable {
    /** The role of state that no graph changes: the artifact's file serves as its memory. */
    static final String FROZEN = "frozen";

    /** The state, by name. */
    final Map<String, OnnxTensor> state = new LinkedHashMap<>();
    /** Lengths by the names that the manifest gives them; {@code samples} changes from task to task. */
    final Map<String, Long> lengths = new HashMap<>();
    /** The type of the raw samples. */
    String samples = "uint8";

    private final Artifact artifact;
    private final Json graphs;
    /** The manifest's entries of the state, by name. */
    final Map<String, Json> specs = new LinkedHashMap<>();
    private final Map<Path, OrtSession> sessions = new HashMap<>();
    private final List<OrtSession.SessionOptions> opened = new ArrayList<>();
    private final int threads;
    private final Path kernels;

    /** Sessions come when they are needed; {@code kernels} is the library of sparse kernels or null. */
    Engine(Artifact artifact, int threads, Path kernels) {
        this.artifact = artifact;
        this.threads = threads;
        this.kernels = kernels;
        graphs = artifact.manifest.get("graphs");
        for (String graph : graphs.names()) {
            if (kernels == null && spec(graph).get("kernels").flag()) {
                String mend = "name their library with Options.kernels, or compile the model without --compress";
                throw new SparclException(artifact.folder + ": needs sparse kernels; " + mend);
            }
        }
        for (Json spec : artifact.manifest.get("state")) {
            specs.put(spec.get("name").text(), spec);
        }
    }

    Json spec(String graph) {
        return graphs.get(graph);
    }

    /** The type that a name of the manifest stands for. */
    String dtype(String name) {
        boolean whole = samples.equals("uint8");
        return name.equals("sample") ? samples : name.equals("sum") ? (whole ? "int64" : "float64") : name;
    }

    /** Puts every state tensor whose lengths are known to its first value. */
    void resetAll() {
        Map<String, Safetensors.Entry> stored = stored();
        for (Map.Entry<String, Safetensors.Entry> one : stored.entrySet()) {
            boolean fixed = specs.get(one.getKey()).get("role").text().equals(FROZEN);
            set(one.getKey(), fixed ? one.getValue().readOnly() : one.getValue().tensor());
        }
        for (String name : specs.keySet()) {
            if (!stored.containsKey(name) && shape(specs.get(name)) != null) {
                reset(name);
            }
        }
    }

    private Map<String, Safetensors.Entry> stored() {
        try {
            return Safetensors.read(artifact.state()).entries;
        } catch (IOException | IllegalArgumentException error) {
            throw new SparclException(artifact.state() + ": cannot be read (" + error.getMessage() + ")", error);
        }
    }

    /** Puts a state tensor to its first value, in the lengths that hold now. */
    void reset(String name) {
        Json spec = specs.get(name);
        String init = spec.get("init").text();
        if (init.startsWith("copy:")) {
            set(name, Tensors.copy(state.get(init.substring("copy:".length()))));
            return;
        }
        double value = init.equals("ones") ? 1 : init.equals("nan") ? Double.NaN : 0;
        set(name, Tensors.filled(dtype(spec.get("dtype").text()), shape(spec), value));
    }

    /** The lengths of a state tensor that hold now; null where one is not known yet. */
    private long[] shape(Json spec) {
        List<Long> made = new ArrayList<>();
        for (Json length : spec.get("shape")) {
            made.add(length.isText() ? lengths.get(length.text()) : (Long) length.integer());
        }
        return made.contains(null) ? null : made.stream().mapToLong(Long::longValue).toArray();
    }

    /** Replaces a state tensor. */
    void set(String name, OnnxTensor tensor) {
        OnnxTensor old = state.put(name, tensor);
        if (old != null && old != tensor) {
            old.close();
        }
    }

    /**
     * Runs a graph.
     *
     * @param graph its name in the manifest
     * @param feeds every input that is not state
     * @param instead by input the state tensor that feeds it in place of the one of its name
     * @return the results, by output name
     */
    Map<String, OnnxTensor> run(String graph, Map<String, OnnxTensor> feeds, Map<String, String> instead) {
        Json spec = spec(graph);
        Map<String, OnnxTensor> inputs = new HashMap<>();
        for (Json input : spec.get("inputs")) {
            String name = input.get("name").text();
            OnnxTensor given = feeds.get(name);
            inputs.put(name, given != null ? given : held(name, instead));
        }
        List<String> inPlace = spec.get("in_place").texts();
        Set<String> wanted = new HashSet<>(spec.get("results").texts());
        Map<String, OnnxTensor> places = new HashMap<>();
        Map<String, String> next = new LinkedHashMap<>();
        for (String output : spec.get("updates").names()) {
            String name = spec.get("updates").get(output).text();
            if (inPlace.contains(name)) {
                places.put(output, held(name, instead));
            } else {
                next.put(output, instead.getOrDefault(name, name));
                wanted.add(output);
            }
        }
        Map<String, OnnxTensor> found = call(session(graph), inputs, wanted, places);
        for (Map.Entry<String, String> one : next.entrySet()) {
            set(one.getValue(), found.remove(one.getKey()));
        }
        return found;
    }

    private OnnxTensor held(String name, Map<String, String> instead) {
        OnnxTensor found = state.get(instead.getOrDefault(name, name));
        if (found == null) {
            throw new IllegalStateException("graph input " + name + " is neither state nor fed");
        }
        return found;
    }

    private static Map<String, OnnxTensor> call(
            OrtSession session, Map<String, OnnxTensor> in, Set<String> wanted, Map<String, OnnxTensor> places) {
        Map<String, OnnxTensor> found = new HashMap<>();
        try {
            // Not closed: its tensors go on as state and values.
            for (Map.Entry<String, OnnxValue> one : session.run(in, wanted, places)) {
                if (wanted.contains(one.getKey())) {
                    found.put(one.getKey(), (OnnxTensor) one.getValue());
                }
            }
        } catch (OrtException error) {
            throw new SparclException("ONNX Runtime: " + error.getMessage(), error);
        }
        return found;
    }

    private OrtSession session(String graph) {
        return sessions.computeIfAbsent(artifact.path(graph, samples), path -> open(graph, path.toString()));
    }

    private OrtSession open(String graph, String path) {
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
            if (spec(graph).get("kernels").flag()) {
                options.registerCustomOpLibrary(kernels.toString());
            }
            return OrtEnvironment.getEnvironment().createSession(path, options);
        } catch (OrtException error) {
            throw new SparclException(path + ": ONNX Runtime cannot load it (" + error.getMessage() + ")", error);
        }
    }

    /** Gives the state's memory back, and knows no lengths any more. */
    void forget() {
        state.values().forEach(OnnxTensor::close);
        state.clear();
        lengths.clear();
    }

    /** Gives all memory back. */
    @Override
    public void close() {
        forget();
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
