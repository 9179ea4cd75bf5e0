package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Everything that a learner keeps, in memory and in its folder (docs/learner.md). */
final class State {
    static final String VALUE = "value.";
    private static final String SAMPLES = "samples-*.safetensors";

    /** A task under way. */
    static final class Task {
        final Rows rows;
        final long epochs;
        final long batch;
        final double rate;
        final String file;
        /** All of its samples. */
        final Rows.Table table;

        Task(Rows rows, long epochs, long batch, double rate, String file) {
            this.rows = rows;
            table = rows.all(rows.classes());
            this.epochs = epochs;
            this.batch = batch;
            this.rate = rate;
            this.file = file;
        }
    }

    /** The names of the classes by place of the head, as many as are taken. */
    final List<String> names = new ArrayList<>();
    /** The classes of each task that is over. */
    final List<List<Long>> tasks = new ArrayList<>();
    /** The options of the state by name. */
    final Map<String, Object> identity = new LinkedHashMap<>();
    /** The observed samples that wait, and the names of their classes. */
    final Pending pending;
    /** The task under way or null. */
    Task task;
    /** The form of all samples: their type, null where there were none, and their lengths C, H and W. */
    String dtype;
    long[] shape;
    /** How many observed samples have been taken into tasks. */
    long taken;
    /** The time spent in steps. */
    double seconds;
    /** Whether something has changed since the last save. */
    boolean changed;

    private final Artifact artifact;
    private final Folder folder;
    private final Engine engine;
    private final Interpreter values;
    private final Loop loop;
    /** The learning rate of the last task. */
    double rate;

    State(Artifact artifact, Folder folder, Engine engine, Interpreter values, Loop loop) {
        this.artifact = artifact;
        this.folder = folder;
        this.engine = engine;
        this.values = values;
        this.loop = loop;
        pending = new Pending(folder);
    }

    /** Whether there is a state, or will be one with the next save: a task has begun. */
    boolean isBegun() {
        return !engine.state.isEmpty();
    }

    /** Makes the first values of all state whose lengths are known, for samples of this form. */
    void form(Rows rows, long buffer) {
        formOf(rows.dtype, rows.shape);
        engine.lengths.put("buffer", buffer);
        engine.lengths.put("tasks", 1L);
        engine.resetAll();
    }

    /** Gives samples their form; a learner takes no others from then on. */
    void formOf(String type, long[] lengths) {
        dtype = type;
        shape = lengths;
        engine.samples = type;
        for (int axis = 0; axis < lengths.length; axis++) {
            engine.lengths.put(new String[] {"C", "H", "W"}[axis], lengths[axis]);
        }
    }

    /** The place of a class; a new name takes the next one that is free. */
    long place(String name) {
        take(Collections.singleton(name));
        return names.indexOf(name);
    }

    /** Gives places to the names that have none: to all of them or, where the head has not as many, to none. */
    void take(Collection<String> given) {
        Set<String> needed = new LinkedHashSet<>(names);
        needed.addAll(given);
        if (needed.contains("") || needed.contains(null)) {
            throw new SparclException("`labels`: one is empty; give each sample a name");
        }
        long classes = artifact.manifest.get("model").get("classes").integer();
        if (needed.size() > classes) {
            String line = "the head of %s has %d classes, and all are taken; %s --classes %d";
            String mend = "compile the model again with sparcl-compile";
            throw new SparclException(String.format(line, artifact.folder, classes, mend, needed.size()));
        }
        names.clear();
        names.addAll(needed);
    }

    /** Keeps an observed sample; where that cannot be written, it is not kept. */
    void keep(Rows one, String label) {
        int known = names.size();
        place(label);
        try {
            pending.add(one, label);
        } catch (SparclException error) {
            names.subList(known, names.size()).clear();
            throw error;
        }
        formOf(one.dtype, one.shape);
    }

    /** Begins a task: its samples are written first, then the state that names them. */
    void begin(Rows rows, long epochs, long batch, double learningRate) {
        rate = learningRate;
        Map<String, OnnxTensor> tensors = new LinkedHashMap<>();
        tensors.put("x", rows.tensor());
        tensors.put("labels", Tensors.of(rows.labels));
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("names", Json.of(names).toString());
        texts.put("first", "0");
        String file = folder.write(SAMPLES, tensors, texts);
        tensors.values().forEach(OnnxTensor::close);
        task = new Task(rows, epochs, batch, learningRate, file);
        save();
    }

    /** Ends the task under way, whose classes count from now on. */
    void end() {
        String file = task.file;
        tasks.add(Numbers.list(task.table.classes));
        task = null;
        loop.midEpoch = false;
        save();
        folder.remove(file);
    }

    private Map<String, OnnxTensor> saved() {
        Map<String, OnnxTensor> made = new LinkedHashMap<>();
        for (Json spec : engine.specs.values()) {
            String name = spec.get("name").text();
            if (spec.get("saved").flag() && engine.state.containsKey(name)) {
                made.put(name, engine.state.get(name));
            }
        }
        return made;
    }

    /** How many bytes the tensors have that a save writes. */
    long size() {
        return saved().values().stream().mapToLong(Tensors::size).sum();
    }

    /** Writes the state as it is. */
    void save() {
        Map<String, OnnxTensor> tensors = saved();
        List<OnnxTensor> made = new ArrayList<>();
        for (String name : loop.midEpoch ? kept() : Collections.<String>emptyList()) {
            OnnxTensor value = values.copy(name);
            made.add(value);
            tensors.put(VALUE + name, value);
        }
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("progress", Json.of(progress()).toString());
        texts.put("identity", Json.of(identity).toString());
        folder.write(Folder.STATE, tensors, texts);
        made.forEach(OnnxTensor::close);
        changed = false;
    }

    /** The names of the values that the steps of an epoch hand on. */
    List<String> kept() {
        return artifact.manifest.get("program").get("kept").texts();
    }

    private Map<String, Object> progress() {
        Map<String, Object> made = new LinkedHashMap<>();
        Map<String, Object> counters = new LinkedHashMap<>();
        for (String name : counters()) {
            counters.put(name, values.integer(name));
        }
        made.put("counters", counters);
        made.put("fired", values.fired);
        made.put("seconds", seconds);
        made.put("learning_rates", Collections.singletonList(pairs("after_epochs", 0L, "learning_rate", rate)));
        made.put("samples", samples());
        made.put("learning", task == null ? null : learning());
        made.put("taken", taken);
        return made;
    }

    /** The names of the counters. */
    Iterable<String> counters() {
        return artifact.manifest.get("program").get("counters").names();
    }

    private Map<String, Object> samples() {
        boolean raw = artifact.manifest.get("model").get("raw").flag() || "raw".equals(identity.get("normalise"));
        double scale = dtype.equals("uint8") && !raw ? 255 : 1;
        Map<String, Object> formula = pairs("scale", scale, "mean", scaled("data.mean", scale));
        formula.put("std", scaled("data.std", scale));
        Map<String, Object> made = pairs("type", dtype, "shape", Numbers.list(shape));
        made.put("normalise", formula);
        made.put("classes", names);
        made.put("classes_by_task", tasks);
        return made;
    }

    private List<Double> scaled(String name, double scale) {
        List<Double> made = new ArrayList<>();
        for (Number one : Tensors.numbers(engine.state.get(name))) {
            made.add(one.doubleValue() * 255 / scale);
        }
        return made;
    }

    private Map<String, Object> learning() {
        Map<String, Object> made = pairs("epochs", task.epochs, "batch", task.batch);
        made.putAll(pairs("learning_rate", task.rate, "file", task.file));
        return made;
    }

    private static Map<String, Object> pairs(String name, Object value, String other, Object more) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put(name, value);
        made.put(other, more);
        return made;
    }

    /** Takes up what the folder has, and nothing else. */
    void load() {
        engine.forget();
        names.clear();
        tasks.clear();
        task = null;
        dtype = null;
        shape = null;
        taken = 0;
        loop.midEpoch = false;
        Safetensors file = folder.read(Folder.STATE);
        try {
            if (file != null) {
                new StateReader(this, artifact, folder, engine, values, loop).read(file);
            }
            pending.load(taken);
        } catch (IllegalArgumentException | NullPointerException | ClassCastException error) {
            throw folder.damaged(Folder.STATE, String.valueOf(error.getMessage()));
        }
        folder.clear(task == null ? "" : task.file);
        if (!pending.isEmpty() && dtype == null) {
            formOf(pending.first().dtype, pending.first().shape);
        }
        take(pending.names());
        changed = false;
    }
}
