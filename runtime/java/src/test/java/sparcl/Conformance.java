package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Learns the samples of a conformance kit and writes its trace: {@code Conformance KIT TRACE.json [FAULT]}. */
final class Conformance {
    private static final Map<String, String[]> RESULTS = new LinkedHashMap<>();
    private static final Map<String, String[]> DIGESTS = new LinkedHashMap<>();
    private static final String[] ENDED = {
        "mask", "gradient_mask", "channel", "buffer.x", "buffer.labels", "buffer.seen", "sample_keep",
    };
    private static final String[] COUNTERS = {
        "step", "mask_updates", "samples_seen", "samples_replayed", "samples_measured", "samples_removed",
    };
    private static final String[] FINAL = {
        "class_il", "forgetting", "backward_transfer", "learning_accuracy", "task_il", "task_forgetting",
        "task_backward_transfer", "task_learning_accuracy", "paper_dense", "paper_sparse", "true_dense", "true_sparse",
        "overall", "gradient_overall", "all_parameters",
    };

    static {
        RESULTS.put("order", new String[] {"order", "length", "steps"});
        RESULTS.put("replay_batch", new String[] {"slot"});
        RESULTS.put("write_buffer", new String[] {"slot"});
        RESULTS.put("check_loss", new String[] {"loss", "mean"});
        RESULTS.put("update_masks", new String[0]);
        RESULTS.put("update_gradient_masks", new String[0]);
        RESULTS.put(
                "remove_samples",
                new String[] {"new_order", "new_position", "length", "steps", "removed_now", "removed_total"});
        RESULTS.put("check_state", new String[] {"broken"});
        RESULTS.put("record", new String[] {"class_mean", "task_mean"});
        DIGESTS.put("write_buffer", new String[] {"buffer.x", "buffer.labels"});
        DIGESTS.put("update_masks", new String[] {"mask", "gradient_mask", "channel"});
        DIGESTS.put("update_gradient_masks", new String[] {"gradient_mask"});
        DIGESTS.put("remove_samples", new String[] {"sample_keep"});
    }

    private final Json told;
    private final Artifact artifact;
    private final Engine engine;
    private final Rows train;
    private final Rows test;
    private final List<long[]> tasks = new ArrayList<>();
    private final Interpreter values;
    private final List<Object> calls = new ArrayList<>();

    private Conformance(Path kit, Json told, String fault) throws IOException {
        this.told = told;
        artifact = new Artifact(kit.resolve("artifact"));
        engine = new Engine(artifact, 1, null);
        Map<String, Safetensors.Entry> data = Safetensors.read(kit.resolve("samples.safetensors")).entries;
        train = samples(data, "train");
        test = samples(data, "test");
        engine.samples = train.dtype;
        for (int axis = 0; axis < 3; axis++) {
            engine.lengths.put(new String[] {"C", "H", "W"}[axis], train.shape[axis]);
        }
        engine.lengths.put("buffer", told.get("buffer").integer());
        engine.lengths.put("tasks", told.get("tasks").integer());
        engine.resetAll();
        values = new Interpreter(engine, artifact.manifest, this::table);
        Faults.put(fault, values);
    }

    private static Rows samples(Map<String, Safetensors.Entry> data, String part) {
        Safetensors.Entry x = data.get("x_" + part);
        long[] labels = Tensors.integers(data.get("y_" + part).tensor());
        return new Rows(x.bytes(), x.dtype, Arrays.copyOfRange(x.shape, 1, 4), labels);
    }

    private Rows.Table table(String name, int number) {
        if (name.equals("data")) {
            return train.all(new long[] {0, 1, 2, 3});
        }
        return (name.equals("train") ? train : test).of(tasks.get(number));
    }

    private void deal() {
        long[] order = {0, 1, 2, 3};
        if (!told.get("class_order_seed").isNull()) {
            values.call("class_order");
            order = values.integers("order");
        }
        int count = (int) told.get("tasks").integer();
        int from = 0;
        for (int task = 0; task < count; task++) {
            int length = order.length / count + (task < order.length % count ? 1 : 0);
            tasks.add(Arrays.copyOfRange(order, from, from + length));
            from += length;
        }
    }

    private Json learn() {
        for (String name : new String[] {"seed", "batch", "epochs", "augment"}) {
            values.put(name, told.get(name).integer());
        }
        values.put("learning_rate", told.get("learning_rate").number());
        values.put("class_order_seed", told.get("class_order_seed").isNull() ? 0L : told.get("class_order_seed").plain);
        values.put("classes_in_data", 4L);
        deal();
        values.call("statistics");
        Map<String, Object> trace = new LinkedHashMap<>();
        trace.put("run", told.plain);
        trace.put("begin", begin());
        values.watch = this::seen;
        Loop loop = new Loop(engine, values);
        while (values.integer("task") < tasks.size()) {
            loop.study(table("train", (int) values.integer("task")).count(), "end_task", new Onwards());
        }
        values.call("end_run");
        trace.put("calls", calls);
        trace.put("end", end());
        return Json.of(trace);
    }

    private Map<String, Object> begin() {
        Map<String, Object> made = new LinkedHashMap<>();
        List<Object> classes = new ArrayList<>();
        for (long[] task : tasks) {
            classes.add(Numbers.list(task));
        }
        made.put("classes_by_task", classes);
        made.put("data.mean", plain(engine.state.get("data.mean")));
        made.put("data.std", plain(engine.state.get("data.std")));
        return made;
    }

    private Map<String, Object> end() {
        Map<String, Object> made = new LinkedHashMap<>();
        for (String name : COUNTERS) {
            made.put(name, values.integer(name));
        }
        made.put("accuracy.class", plain(engine.state.get("accuracy.class")));
        made.put("accuracy.task", plain(engine.state.get("accuracy.task")));
        for (String name : FINAL) {
            made.put(name, withoutNan(values.number("result." + name)));
        }
        digests(ENDED, made);
        return made;
    }

    private void seen(String graph, Map<String, OnnxTensor> results) {
        if (!RESULTS.containsKey(graph)) {
            return;
        }
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("graph", graph);
        made.put("at", Numbers.list(values.integer("task"), values.integer("epoch"), values.integer("task_step")));
        for (String name : RESULTS.get(graph)) {
            made.put(name, plain(results.get(name)));
        }
        digests(DIGESTS.getOrDefault(graph, new String[0]), made);
        calls.add(made);
    }

    private void digests(String[] names, Map<String, Object> into) {
        for (String name : names) {
            List<OnnxTensor> tensors = new ArrayList<>();
            for (Map.Entry<String, Json> spec : engine.specs.entrySet()) {
                if (spec.getKey().equals(name) || spec.getValue().get("role").text().equals(name)) {
                    tensors.add(engine.state.get(spec.getKey()));
                }
            }
            if (!tensors.isEmpty()) {
                MessageDigest digest = Artifact.sha256();
                tensors.forEach(tensor -> digest.update(Tensors.content(tensor)));
                into.put(name, Artifact.hex(digest.digest()));
            }
        }
    }

    /** Nested lists of numbers; NaN, which JSON lacks, is null. */
    private static Object plain(OnnxTensor tensor) {
        List<Object> flat = new ArrayList<>();
        for (Number number : Tensors.numbers(tensor)) {
            flat.add(tensor.getInfo().type.size == 1 ? (Object) (number.longValue() != 0) : withoutNan(number));
        }
        return nested(flat, tensor.getInfo().getShape(), 0);
    }

    private static Object nested(List<Object> flat, long[] shape, int axis) {
        if (axis == shape.length) {
            return flat.get(0);
        }
        List<Object> made = new ArrayList<>();
        int each = shape[axis] == 0 ? 0 : flat.size() / (int) shape[axis];
        for (int place = 0; place < shape[axis]; place++) {
            made.add(nested(flat.subList(place * each, (place + 1) * each), shape, axis + 1));
        }
        return made;
    }

    private static Object withoutNan(Number number) {
        return Double.isNaN(number.doubleValue()) ? null : number;
    }

    /** Every step is made. */
    private static final class Onwards implements Loop.Pace {
        @Override
        public boolean more() {
            return true;
        }

        @Override
        public void stepped() {}

        @Override
        public void epochEnded() {}
    }

    public static void main(String[] given) throws IOException {
        Path kit = Paths.get(given[0]);
        String text = new String(Files.readAllBytes(kit.resolve("trace.json")), StandardCharsets.UTF_8);
        Conformance run = new Conformance(kit, Json.parse(text).get("run"), given.length > 2 ? given[2] : "");
        Files.write(Paths.get(given[1]), run.learn().toString().getBytes(StandardCharsets.UTF_8));
        run.values.close();
        run.engine.close();
    }
}
