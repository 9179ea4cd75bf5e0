package sparcl;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A turn of a learner's conformance kit: {@code Calls ARTIFACT STATE SAMPLES TURN.json [FAULT]} opens a learner, makes
 * the calls, and prints what each gave, a line of JSON for each.
 */
final class Calls {
    private final Map<String, Safetensors.Entry> data;
    private final Learner learner;

    private Calls(Map<String, Safetensors.Entry> data, Learner learner) {
        this.data = data;
        this.learner = learner;
    }

    private static Options options(Json told) {
        Options made = new Options().threads(1);
        if (!told.get("seed").isNull()) {
            made.seed(told.get("seed").integer());
        }
        if (!told.get("buffer").isNull()) {
            made.buffer(told.get("buffer").integer());
        }
        return made.batch(told.get("batch").integer())
                .learningRate(told.get("learning_rate").number().doubleValue());
    }

    private Effort effort(Json call, List<Object> made) {
        Effort effort = new Effort();
        if (!call.get("epochs").isNull()) {
            effort.epochs(call.get("epochs").integer());
        }
        if (!call.get("steps").isNull()) {
            effort.steps(call.get("steps").integer());
        }
        if (!call.get("seconds").isNull()) {
            effort.seconds(call.get("seconds").number().doubleValue());
        }
        long last = call.get("cancel").isNull() ? -1 : call.get("cancel").integer();
        return effort.listener(step -> {
            List<Object> one = new ArrayList<>(
                    Numbers.list(step.task, step.epoch, step.epochs, step.done, step.total));
            one.add(step.loss);
            one.add(step.sparsity);
            made.add(one);
            return made.size() != last;
        });
    }

    private Samples samples(Json call) {
        Safetensors.Entry x = data.get(call.text("of", "x"));
        long[] rows = call.get("rows").integers();
        ByteBuffer bytes = x.bytes();
        int size = bytes.remaining() / (int) x.shape[0];
        byte[] made = new byte[rows.length * size];
        for (int row = 0; row < made.length; row++) {
            made[row] = bytes.get((int) rows[row / size] * size + row % size);
        }
        long[] shape = x.shape.clone();
        shape[0] = rows.length;
        return Samples.of(made, shape);
    }

    private Map<String, Object> given(Json call) {
        Map<String, Object> made;
        try {
            made = make(call);
        } catch (SparclException error) {
            made = refused();
        }
        made.put("standing", standing());
        return made;
    }

    private Map<String, Object> make(Json call) {
        List<Object> steps = new ArrayList<>();
        switch (call.get("do").text()) {
            case "learn":
                Effort effort = effort(call, steps);
                return ended(call.get("rows").isNull()
                        ? learner.learn(effort)
                        : learner.learn(samples(call), call.get("labels").texts(), effort), steps);
            case "observe":
                String label = call.get("labels").texts().get(0);
                return ended(learner.observe(samples(call), label, effort(call, steps)), steps);
            case "predict":
                return predicted(call);
            case "evaluate":
                return evaluated(call);
            case "report":
                return reported(learner.report());
            case "end_task":
                learner.endTask();
                return new LinkedHashMap<>();
            case "save":
                learner.save();
                return new LinkedHashMap<>();
            default:
                throw new IllegalArgumentException("no call of this name: " + call);
        }
    }

    private static Map<String, Object> ended(Effort.Outcome ended, List<Object> steps) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("reason", ended.reason);
        made.put("steps", ended.steps);
        made.put("loss", orNull(ended.loss));
        made.put("made", steps);
        return made;
    }

    private static Object orNull(double number) {
        return Double.isNaN(number) ? null : (Object) number;
    }

    private Map<String, Object> predicted(Json call) {
        Answers answers = !call.get("task").isNull()
                ? learner.predictTask(samples(call), (int) call.get("task").integer())
                : call.get("classes").isNull()
                ? learner.predict(samples(call))
                : learner.predict(samples(call), call.get("classes").texts());
        List<Object> rows = new ArrayList<>();
        for (float[] row : answers.probabilities) {
            List<Object> one = new ArrayList<>();
            for (float number : row) {
                one.add((double) number);
            }
            rows.add(one);
        }
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("names", answers.names);
        made.put("classes", answers.classes);
        made.put("probabilities", rows);
        return made;
    }

    private Map<String, Object> evaluated(Json call) {
        List<String> labels = call.get("labels").texts();
        Evaluation found = call.get("classes").isNull()
                ? learner.evaluate(samples(call), labels)
                : learner.evaluate(samples(call), labels, call.get("classes").texts());
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("accuracy", found.accuracy);
        made.put("by_class", found.byClass);
        made.put("samples", found.samples);
        return made;
    }

    private static Map<String, Object> reported(Report report) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("classes", report.classes);
        made.put("places", report.places);
        made.put("tasks", report.tasks);
        made.put("accuracy", orNull(report.accuracy));
        made.put("accuracy_by_class", report.accuracyByClass);
        made.put("sparsity", report.sparsity);
        made.put("gradient_sparsity", report.gradientSparsity);
        made.put("all_parameters", report.allParameters);
        made.put("training_flops", report.trainingFlops);
        made.put("steps", report.steps);
        made.put("samples_seen", report.samplesSeen);
        made.put("samples_replayed", report.samplesReplayed);
        made.put("samples_removed", report.samplesRemoved);
        return made;
    }

    private Map<String, Object> standing() {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("classes", learner.classes());
        made.put("tasks", learner.tasks());
        made.put("under_way", learner.isUnderWay());
        made.put("waiting", learner.waiting());
        made.put("observed", learner.observed());
        return made;
    }

    private static Map<String, Object> refused() {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("refused", true);
        return made;
    }

    public static void main(String[] given) throws IOException {
        Json turn = Json.parse(new String(Files.readAllBytes(Paths.get(given[3])), StandardCharsets.UTF_8));
        Path artifact = Paths.get(given[0]);
        Learner learner;
        try {
            learner = Learner.open(artifact, Paths.get(given[1]), options(turn.get("open")));
        } catch (SparclException error) {
            System.out.println(Json.of(refused()));
            return;
        }
        Faults.put(given.length > 4 ? given[4] : "", learner.values);
        Calls calls = new Calls(Safetensors.read(Paths.get(given[2])).entries, learner);
        System.out.println(Json.of(calls.standing()));
        for (Json call : turn.get("calls")) {
            System.out.println(Json.of(calls.given(call)));
        }
        if (!turn.get("close").flag()) {
            System.out.flush();
            Runtime.getRuntime().halt(0); // as a kill
        }
        learner.close();
    }
}
