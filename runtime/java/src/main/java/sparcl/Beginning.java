package sparcl;

/** How a task begins: what it is given, and for the first one what belongs to the samples (docs/learner.md). */
final class Beginning {
    static final long SMALLEST = 8;
    private static final long FEW_STEPS = 100;
    private static final long[] BATCHES = {32, 16, SMALLEST};

    private final Json manifest;
    private final Options options;
    private final State state;
    private final Engine engine;
    private final Interpreter values;

    Beginning(Artifact artifact, Options options, State state, Engine engine, Interpreter values) {
        manifest = artifact.manifest;
        this.options = options;
        this.state = state;
        this.engine = engine;
        this.values = values;
    }

    /** Begins a task, so many of whose samples are observed ones. */
    void begin(Rows rows, Effort effort, int observed) {
        if (!state.isBegun()) {
            state.form(rows, ((Number) state.identity.get("buffer_size")).longValue());
            normalise(rows);
        }
        Json optimizer = manifest.get("optimizer");
        boolean few = effort.epochs <= optimizer.get("few_epochs").integer();
        double rate = optimizer.get(few ? "few_epochs_rate" : "learning_rate").number().doubleValue();
        state.taken += observed;
        state.begin(rows, effort.epochs, batch(rows.count() * effort.epochs), rate(rate));
        if (observed > 0) {
            state.pending.drop(observed);
        }
        give(state.task);
    }

    private double rate(double otherwise) {
        return options.learningRate == null ? otherwise : options.learningRate;
    }

    private long batch(long presented) {
        if (options.batch != null) {
            return options.batch;
        }
        for (long size : BATCHES) {
            if (presented >= FEW_STEPS * size) {
                return size;
            }
        }
        return SMALLEST;
    }

    private void normalise(Rows rows) {
        String how = (String) state.identity.get("normalise");
        boolean raw = how.equals("raw") || manifest.get("model").get("raw").flag();
        if (how.equals("auto") && !raw) {
            state.task = new State.Task(rows, 1, 1, 1, "");
            values.call("statistics");
            state.task = null;
            return;
        }
        float std = !raw && state.dtype.equals("uint8") ? 1 : 1f / 255f;
        long[] channels = {state.shape[0]};
        engine.set("data.mean", Tensors.filled("float32", channels, 0));
        engine.set("data.std", Tensors.filled("float32", channels, std));
    }

    /** Gives the values of a task. */
    void give(State.Task task) {
        values.put("epochs", task.epochs);
        values.put("batch", task.batch);
        state.rate = rate(task.rate);
        values.put("learning_rate", state.rate);
        values.put("augment", augments() ? 1L : 0L);
    }

    private boolean augments() {
        String how = (String) state.identity.get("augment");
        boolean coloured = state.dtype.equals("uint8") && state.shape[0] == 3 && isImages();
        return how.equals("auto") ? coloured : !how.equals("none");
    }

    private boolean isImages() {
        return manifest.get("model").get("layout").text().matches("NCHW|NHWC");
    }
}
