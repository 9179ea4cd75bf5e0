package sparcl;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;

/** Takes an app's samples in: in the form of this learner's, and with places of the head for their labels. */
final class Intake {
    private final State state;
    private final Engine engine;
    private final Interpreter values;
    private final Form form;

    Intake(Json model, State state, Engine engine, Interpreter values) {
        this.state = state;
        this.engine = engine;
        this.values = values;
        form = new Form(model, this::resized);
    }

    private ByteBuffer resized(ByteBuffer images, String dtype, long[] shape) {
        checkType(dtype);
        engine.samples = dtype;
        values.put("given.x", Tensors.over(images, dtype, shape));
        values.call("resize");
        ByteBuffer found = values.content("resized");
        ByteBuffer made = Tensors.bytes(found.remaining());
        made.put(found);
        values.put("given.x", 0L);
        return Tensors.rewound(made);
    }

    private void checkType(String dtype) {
        if (state.dtype != null && !state.dtype.equals(dtype)) {
            String line = "`samples`: are %s, and this learner's are %s; give those";
            throw new SparclException(String.format(line, dtype, state.dtype));
        }
    }

    /** Samples in the form of this learner's. */
    Rows rows(Samples samples) {
        checkType(samples.dtype);
        if (samples.count() == 0) {
            throw new SparclException("`samples`: are none; give at least one");
        }
        Rows found = form.rows(samples);
        if (state.shape != null && !Arrays.equals(state.shape, found.shape)) {
            String line = "`samples`: have the form %s, and this learner's are %s; give those";
            String own = Arrays.toString(state.shape);
            throw new SparclException(String.format(line, Arrays.toString(found.shape), own));
        }
        return found;
    }

    /** Samples whose labels are places; new names get theirs. */
    Rows labelled(Samples samples, List<String> labels) {
        Rows found = rows(samples);
        if (labels.size() != found.count()) {
            String line = "`labels`: are %d, for %d samples; give one for each";
            throw new SparclException(String.format(line, labels.size(), found.count()));
        }
        state.take(labels);
        for (int row = 0; row < found.count(); row++) {
            found.labels[row] = state.place(labels.get(row));
        }
        return found;
    }
}
