package sparcl;

/** The loop of a task: it calls the blocks of the program in the order that docs/interfaces.md says. */
final class Loop {
    /** Says how far a call goes, and hears what was made. */
    interface Pace {
        /** Whether another step may begin. */
        boolean more();

        /** A step was made, the one of this task, epoch and number that the values have. */
        void stepped();

        /** An epoch ended that is not the task's last. */
        void epochEnded();
    }

    /** Whether an epoch is under way. */
    boolean midEpoch;

    private final Engine engine;
    private final Interpreter values;

    Loop(Engine engine, Interpreter values) {
        this.engine = engine;
        this.values = values;
    }

    /**
     * Goes on with the current task.
     *
     * @param samples how many the task has
     * @param closing the block at its end
     * @return whether the task is over; else the pace has stopped it
     */
    boolean study(int samples, String closing, Pace pace) {
        engine.lengths.put("samples", (long) samples);
        while (values.integer("epoch") < values.integer("epochs")) {
            if (!pace.more() || !epoch(pace)) {
                return false;
            }
            if (values.integer("epoch") < values.integer("epochs")) {
                pace.epochEnded();
            }
        }
        values.call(closing);
        return true;
    }

    /** Begins an epoch, the first one with the task. */
    private void begin() {
        if (values.integer("epoch") == 0) {
            values.beginEvents();
            values.call("begin_task");
        }
        values.call("begin_epoch");
        midEpoch = true;
    }

    private boolean epoch(Pace pace) {
        if (!midEpoch) {
            begin();
        }
        while (values.integer("done") < values.integer("total")) {
            if (!pace.more()) {
                return false;
            }
            values.call("step");
            pace.stepped();
        }
        values.call("end_epoch");
        midEpoch = false;
        return true;
    }
}
