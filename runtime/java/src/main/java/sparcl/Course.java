package sparcl;

/** One call's way through a task: it counts steps and seconds, and saves behind epochs. */
final class Course implements Loop.Pace {
    private static final double NANOSECONDS = 1e-9;

    private final Effort effort;
    private final State state;
    private final Interpreter values;
    private final long started = System.nanoTime();
    private long before = started;
    private long steps;
    private double loss = Double.NaN;
    private boolean cancelled;

    Course(Effort effort, State state, Interpreter values) {
        this.effort = effort;
        this.state = state;
        this.values = values;
    }

    /** Whether the budget is not spent; a call makes at least one step. */
    boolean goesOn() {
        return steps == 0 || reason().isEmpty();
    }

    /** Which budget is spent; empty where none is. */
    String reason() {
        if (cancelled) {
            return "cancelled";
        }
        if (steps >= effort.steps) {
            return "steps";
        }
        return (System.nanoTime() - started) * NANOSECONDS >= effort.seconds ? "seconds" : "";
    }

    Effort.Outcome outcome(String reason) {
        return new Effort.Outcome(reason, steps, loss);
    }

    @Override
    public boolean more() {
        before = System.nanoTime();
        return goesOn();
    }

    @Override
    public void stepped() {
        state.seconds += (System.nanoTime() - before) * NANOSECONDS;
        state.changed = true;
        steps++;
        Effort.Step step = new Effort.Step(values);
        loss = step.loss;
        cancelled = !effort.listener.onStep(step);
    }

    @Override
    public void epochEnded() {
        state.save();
    }
}
