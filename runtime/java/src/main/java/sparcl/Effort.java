package sparcl;

/** How much a call may do: epochs of a task that it begins, steps and seconds of the call, and who may cancel it. */
public final class Effort {
    /** Where a call stands; returning false cancels it. */
    public interface Listener {
        /** Hears of a step. */
        boolean onStep(Step step);
    }

    /** A step that was made. */
    public static final class Step {
        /** The number of the task, from 0. */
        public final long task;
        /** The number of the epoch in it, from 0. */
        public final long epoch;
        /** The epochs of the task. */
        public final long epochs;
        /** The steps of this epoch that are done. */
        public final long done;
        /** The steps of this epoch. */
        public final long total;
        /** The loss of the step. */
        public final double loss;
        /** The share of zeros among the masked weights. */
        public final double sparsity;

        Step(Interpreter values) {
            task = values.integer("task");
            epoch = values.integer("epoch");
            epochs = values.integer("epochs");
            done = values.integer("done");
            total = values.integer("total");
            loss = values.number("loss").doubleValue();
            sparsity = values.number("now.overall").doubleValue();
        }
    }

    /** Why a call ended, and what it made. */
    public static final class Outcome {
        /** {@code done}, {@code steps}, {@code seconds} or {@code cancelled}. */
        public final String reason;
        /** How many steps it made. */
        public final long steps;
        /** The loss of the last one; NaN where there was none. */
        public final double loss;

        Outcome(String reason, long steps, double loss) {
            this.reason = reason;
            this.steps = steps;
            this.loss = loss;
        }

        @Override
        public String toString() {
            return reason + " after " + steps + " steps, loss " + loss;
        }
    }

    long epochs = 5;
    long steps = Long.MAX_VALUE;
    double seconds = Double.POSITIVE_INFINITY;
    Listener listener = step -> true;

    /** Epochs of a task that begins; by default 5. */
    public Effort epochs(long value) {
        if (value < 1) {
            throw new SparclException("`epochs` " + value + ": give at least 1");
        }
        epochs = value;
        return this;
    }

    /** The most steps that the call makes. */
    public Effort steps(long value) {
        if (value < 0) {
            throw new SparclException("`steps` " + value + ": give at least 0");
        }
        steps = value;
        return this;
    }

    /** Refuses a call that has to learn and may not. */
    void checkSteps() {
        if (steps == 0) {
            throw new SparclException("`steps` 0: give at least 1");
        }
    }

    /** The seconds behind which the call begins no step. */
    public Effort seconds(double value) {
        if (!(value > 0)) {
            throw new SparclException("`seconds` " + value + ": give a number above 0");
        }
        seconds = value;
        return this;
    }

    /** Who hears of each step. */
    public Effort listener(Listener value) {
        listener = value;
        return this;
    }
}
