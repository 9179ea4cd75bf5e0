package sparcl;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A learner at the command line: {@code Teach ARTIFACT STATE DATA.safetensors CALL [NAME=VALUE]...}.
 *
 * <p>DATA has {@code x} and {@code labels}; what the call returns comes as one line of JSON. With {@code losses=1} each
 * step tells its epoch, loss, task and number; {@code hang=EPOCH.NUMBER} does nothing more behind that step. With
 * {@code within=CALL,CALL} the listener makes these calls behind every step.
 */
final class Teach {
    private final Map<String, String> told = new HashMap<>();
    private Samples samples;
    private final List<String> labels = new ArrayList<>();
    private Learner learner;

    private void read(String path) throws IOException {
        Map<String, Safetensors.Entry> data = Safetensors.read(Paths.get(path)).entries;
        Safetensors.Entry x = data.get("x");
        ByteBuffer bytes = x.bytes();
        if (x.dtype.equals("uint8")) {
            byte[] values = new byte[bytes.remaining()];
            bytes.get(values);
            samples = Samples.of(values, x.shape);
        } else {
            float[] values = new float[bytes.remaining() / Float.BYTES];
            bytes.asFloatBuffer().get(values);
            samples = Samples.of(values, x.shape);
        }
        for (long label : Tensors.integers(data.get("labels").tensor())) {
            labels.add(String.valueOf(label));
        }
    }

    private Options options() {
        Options made = new Options().threads(Integer.parseInt(told.getOrDefault("threads", "1")));
        if (told.containsKey("seed")) {
            made.seed(Long.parseLong(told.get("seed")));
        }
        if (told.containsKey("buffer")) {
            made.buffer(Long.parseLong(told.get("buffer")));
        }
        if (told.containsKey("batch")) {
            made.batch(Long.parseLong(told.get("batch")));
        }
        if (told.containsKey("learning_rate")) {
            made.learningRate(Double.parseDouble(told.get("learning_rate")));
        }
        if (told.containsKey("augment")) {
            made.augment(told.get("augment"));
        }
        if (told.containsKey("normalise")) {
            made.normalise(told.get("normalise"));
        }
        if (told.containsKey("kernels")) {
            made.kernels(Paths.get(told.get("kernels")));
        }
        return made;
    }

    private Effort effort() {
        Effort made = new Effort().listener(this::shown);
        if (told.containsKey("epochs")) {
            made.epochs(Long.parseLong(told.get("epochs")));
        }
        if (told.containsKey("steps")) {
            made.steps(Long.parseLong(told.get("steps")));
        }
        if (told.containsKey("seconds")) {
            made.seconds(Double.parseDouble(told.get("seconds")));
        }
        return made;
    }

    private boolean shown(Effort.Step step) {
        if (told.containsKey("losses")) {
            System.out.printf("step %d %s %d %d%n", step.epoch, step.loss, step.task, step.done);
        }
        if ((step.epoch + "." + step.done).equals(told.get("hang"))) {
            System.out.println("hangs");
            rest();
        }
        for (String name : told.getOrDefault("within", "").split(",")) {
            within(name);
        }
        return true;
    }

    private void within(String name) {
        switch (name) {
            case "":
                return;
            case "keep":
                learner.observe(samples.row(0), labels.get(0), new Effort().steps(0));
                return;
            case "save":
                learner.save();
                return;
            case "close":
                learner.close();
                return;
            default:
                call(name);
        }
    }

    private Map<String, Object> call(String name) {
        switch (name) {
            case "learn":
                return outcome(learner.learn(samples, labels, effort()));
            case "continue":
                return outcome(learner.learn(effort()));
            case "observe":
                return observed();
            case "end":
                learner.endTask();
                return new LinkedHashMap<>();
            case "predict":
                return answers(learner.predict(samples));
            case "evaluate":
                return evaluation(learner.evaluate(samples, labels));
            case "report":
                return report(learner.report());
            case "hold":
                return held();
            default:
                throw new IllegalArgumentException("no call of this name: " + name);
        }
    }

    private Map<String, Object> observed() {
        Effort.Outcome last = null;
        for (int row = 0; row < samples.count(); row++) {
            last = learner.observe(samples.row(row), labels.get(row), effort());
            if (told.containsKey("told")) {
                System.out.println("kept " + (row + 1));
            }
        }
        return outcome(last);
    }

    private static Map<String, Object> answers(Answers answers) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("names", answers.names);
        made.put("classes", answers.classes);
        List<Object> rows = new ArrayList<>();
        for (float[] row : answers.probabilities) {
            List<Double> one = new ArrayList<>();
            for (float number : row) {
                one.add((double) number);
            }
            rows.add(one);
        }
        made.put("probabilities", rows);
        return made;
    }

    private static Map<String, Object> evaluation(Evaluation found) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("accuracy", found.accuracy);
        made.put("by_class", found.byClass);
        made.put("samples", found.samples);
        return made;
    }

    /** Keeps the state locked until somebody ends this process. */
    private static Map<String, Object> held() {
        System.out.println("held");
        rest();
        return new LinkedHashMap<>();
    }

    /** Does nothing until somebody ends this process. */
    private static void rest() {
        System.out.flush();
        try {
            Thread.sleep(60_000);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    private static Map<String, Object> outcome(Effort.Outcome outcome) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("reason", outcome.reason);
        made.put("steps", outcome.steps);
        made.put("loss", Double.isNaN(outcome.loss) ? null : outcome.loss);
        return made;
    }

    private static Map<String, Object> report(Report report) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("accuracy", Double.isNaN(report.accuracy) ? null : report.accuracy);
        made.put("by_class", report.accuracyByClass);
        made.put("tasks", report.tasks);
        made.put("steps", report.steps);
        made.put("sparsity", report.sparsity);
        made.put("flops", report.trainingFlops);
        made.put("bytes", report.stateBytes);
        return made;
    }

    public static void main(String[] given) throws IOException {
        Teach teach = new Teach();
        for (int place = 4; place < given.length; place++) {
            String[] parts = given[place].split("=", 2);
            teach.told.put(parts[0], parts[1]);
        }
        try {
            teach.read(given[2]);
            try (Learner learner = Learner.open(Paths.get(given[0]), Paths.get(given[1]), teach.options())) {
                teach.learner = learner;
                System.out.println(Json.of(teach.call(given[3])));
            }
        } catch (SparclException error) {
            System.err.println(error.getMessage());
            System.exit(2);
        }
    }
}
