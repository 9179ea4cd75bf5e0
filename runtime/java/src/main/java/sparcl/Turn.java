package sparcl;

import java.nio.file.Path;
import java.util.function.Supplier;

/** Held by the call that learns: a thread that has the learner's lock has it in its own listener, too. */
final class Turn {
    private final Path state;
    private boolean taken;

    Turn(Path state) {
        this.state = state;
    }

    /** Refuses what would take the task from under the call that learns, or close its learner. */
    void check() {
        if (taken) {
            throw new SparclException(state + ": another call is learning; wait for its end, or return false from its"
                    + " listener, which may ask, `save`, and `observe` with steps(0)");
        }
    }

    /** Makes a call that learns. */
    Effort.Outcome held(Supplier<Effort.Outcome> call) {
        check();
        taken = true;
        try {
            return call.get();
        } finally {
            taken = false;
        }
    }
}
