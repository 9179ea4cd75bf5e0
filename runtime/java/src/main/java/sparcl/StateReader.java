package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** Reads the file of a state; what is not as it must be ends in an IllegalArgumentException. */
final class StateReader {
    private final State state;
    private final Artifact artifact;
    private final Folder folder;
    private final Engine engine;
    private final Interpreter values;
    private final Loop loop;

    StateReader(State state, Artifact artifact, Folder folder, Engine engine, Interpreter values, Loop loop) {
        this.state = state;
        this.artifact = artifact;
        this.folder = folder;
        this.engine = engine;
        this.values = values;
        this.loop = loop;
    }

    /** Puts everything in its place. */
    void read(Safetensors file) {
        Json own = Json.parse(file.metadata.get("identity"));
        if (!artifact.identity.equals(own.get("artifact").plain)) {
            String line = "%s: is a state of another artifact than %s; give another folder as state";
            throw new SparclException(String.format(line, folder.path, artifact.folder));
        }
        for (String name : own.names()) {
            state.identity.put(name, own.get(name).plain);
        }
        Json progress = Json.parse(file.metadata.get("progress"));
        checkFinished(progress, own.get("tasks").plain);
        Json about = progress.get("samples");
        state.formOf(about.get("type").text(), about.get("shape").integers());
        state.names.clear();
        state.names.addAll(about.get("classes").texts());
        state.tasks.clear();
        for (Json one : about.get("classes_by_task")) {
            state.tasks.add(Numbers.list(one.integers()));
        }
        checkClasses();
        state.taken = progress.get("taken").integer();
        state.seconds = progress.get("seconds").number().doubleValue();
        for (Json one : progress.get("learning_rates")) {
            state.rate = one.get("learning_rate").number().doubleValue();
        }
        restore(file.entries);
        counters(progress);
        state.task = progress.get("learning").isNull() ? null : task(progress.get("learning"));
    }

    /** Refuses a run that has tasks left: its classes and tasks that nothing has learned yet would count as learned. */
    private void checkFinished(Json progress, Object tasks) {
        long task = progress.get("counters").get("task").integer();
        boolean isLearners = !progress.get("learning").isNull() || progress.get("taken").integer() > 0;
        if (tasks instanceof Long && task < (Long) tasks && !isLearners) {
            String line = "%s: is a run that has learned %d of its %d tasks; finish it with sparcl-run --resume, or "
                    + "name another folder as `state`";
            throw new SparclException(String.format(line, folder.path, task, tasks));
        }
    }

    private void checkClasses() {
        int count = state.names.size();
        boolean fits = count <= artifact.manifest.get("model").get("classes").integer();
        for (List<Long> task : state.tasks) {
            fits = fits && task.stream().allMatch(place -> place >= 0 && place < count);
        }
        if (!fits || new HashSet<>(state.names).size() < count) {
            throw new IllegalArgumentException("its classes do not fit the head");
        }
    }

    private void counters(Json progress) {
        for (String name : state.counters()) {
            values.put(name, progress.get("counters").get(name).integer());
        }
        for (String kind : progress.get("fired").names()) {
            values.fired.put(kind, progress.get("fired").get(kind).integer());
        }
    }

    private State.Task task(Json learning) {
        String name = learning.get("file").text();
        Safetensors file = folder.read(name);
        if (file == null) {
            throw folder.damaged(name, "it is missing");
        }
        Rows rows = Pending.rows(file);
        List<String> own = Json.parse(file.metadata.get("names")).texts();
        if (rows.count() == 0 || own.size() > state.names.size() || !own.equals(state.names.subList(0, own.size()))) {
            throw folder.damaged(name, "it has other classes than the state");
        }
        double learningRate = learning.get("learning_rate").number().doubleValue();
        long batch = learning.get("batch").integer();
        return new State.Task(rows, learning.get("epochs").integer(), batch, learningRate, name);
    }

    /** Puts the tensors of a file in their places; the lengths that the artifact leaves open are theirs. */
    private void restore(Map<String, Safetensors.Entry> entries) {
        Map<String, Safetensors.Entry> found = new HashMap<>(entries);
        for (Json spec : engine.specs.values()) {
            if (isSaved(spec) && found.containsKey(name(spec))) {
                lengths(spec, found.get(name(spec)));
            }
        }
        engine.resetAll();
        for (Json spec : engine.specs.values()) {
            if (isSaved(spec)) {
                tensor(spec, found.remove(name(spec)));
            }
        }
        kept(found);
        if (!found.isEmpty()) {
            throw new IllegalArgumentException(found.keySet().iterator().next() + " is no state of the artifact");
        }
    }

    private static String name(Json spec) {
        return spec.get("name").text();
    }

    private static boolean isSaved(Json spec) {
        return spec.get("saved").flag();
    }

    private void tensor(Json spec, Safetensors.Entry entry) {
        boolean comesLater = spec.get("shape").toString().contains("\"samples\"");
        if (entry == null && !comesLater) {
            throw new IllegalArgumentException(name(spec) + " is missing");
        }
        if (entry != null && !spec.get("role").text().equals(Engine.FROZEN)) {
            engine.set(name(spec), entry.tensor());
        }
    }

    /** The values of an epoch under way: all of them or none. */
    private void kept(Map<String, Safetensors.Entry> found) {
        loop.midEpoch = found.containsKey(State.VALUE + state.kept().get(0));
        for (String name : loop.midEpoch ? state.kept() : Collections.<String>emptyList()) {
            Safetensors.Entry entry = found.remove(State.VALUE + name);
            OnnxTensor tensor = entry.tensor();
            boolean integer = entry.shape.length == 0 && entry.dtype.equals("int64");
            values.put(name, integer ? (Object) Tensors.integers(tensor)[0] : tensor);
        }
    }

    private void lengths(Json spec, Safetensors.Entry entry) {
        int axis = 0;
        if (!entry.dtype.equals(engine.dtype(spec.get("dtype").text()))) {
            throw new IllegalArgumentException(name(spec) + " is " + entry.dtype);
        }
        for (Json length : spec.get("shape")) {
            long own = axis < entry.shape.length ? entry.shape[axis++] : -1;
            Long due = length.isText() ? engine.lengths.get(length.text()) : (Long) length.integer();
            if (due == null || "samples".equals(length.plain)) {
                engine.lengths.put(length.text(), own);
            } else if (!Objects.equals(due, own)) {
                String found = Arrays.toString(entry.shape);
                throw new IllegalArgumentException(name(spec) + " has the shape " + found);
            }
        }
    }
}
