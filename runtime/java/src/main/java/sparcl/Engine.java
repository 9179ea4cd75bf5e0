package sparcl;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtException;
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
    private final Sessions sessions;

    /** Sessions come when they are needed; {@code kernels} is the library of sparse kernels or null. */
    Engine(Artifact artifact, int threads, Path kernels) {
        this.artifact = artifact;
        sessions = new Sessions(threads, kernels);
        graphs = artifact.manifest.get("graphs");
        artifact.checkKernels(kernels);
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
            inputs.put(name, feeds.containsKey(name) ? feeds.get(name) : held(name, instead));
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
        next.forEach((output, name) -> set(name, found.remove(output)));
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
        return sessions.of(artifact.path(graph, samples), spec(graph).get("kernels").flag());
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
        sessions.close();
    }
}
