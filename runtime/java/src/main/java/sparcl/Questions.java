package sparcl;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;

/** What a learner can be asked: classes of samples, accuracies, and what is known of it. */
final class Questions {
    private static final int CHUNK = 256;

    /** Hears of rows that a block has seen. */
    private interface Chunk {
        void ran(int from, int count);
    }

    private final State state;
    private final Interpreter values;
    private final long places;

    /** Asks a learner whose head has so many places. */
    Questions(State state, Interpreter values, long places) {
        this.state = state;
        this.values = values;
        this.places = places;
    }

    Answers predict(Rows asked, List<String> classes) {
        long[] asking = places(classes);
        List<String> best = new ArrayList<>();
        float[][] probabilities = new float[asked.count()][asking.length];
        ask(asked, asking, "predict", (from, count) -> {
            best.addAll(names(values.integers("best")));
            ByteBuffer found = values.content("probability");
            for (int row = from; row < from + count; row++) {
                for (int column = 0; column < asking.length; column++) {
                    probabilities[row][column] = found.getFloat();
                }
            }
        });
        return new Answers(best, names(asking), probabilities);
    }

    Evaluation evaluate(Rows asked, List<String> labels, List<String> classes) {
        long[] asking = places(classes);
        if (labels.size() != asked.count()) {
            String line = "`labels`: are %d, for %d samples; give one for each";
            throw new SparclException(String.format(line, labels.size(), asked.count()));
        }
        for (int row = 0; row < asked.count(); row++) {
            asked.labels[row] = place(labels.get(row));
        }
        values.call("begin_score");
        ask(asked, asking, "score", (from, count) -> { });
        state.changed = true;
        Report found = report();
        return new Evaluation(found.accuracy, found.accuracyByClass, asked.count());
    }

    Report report() {
        checkBegun();
        return new Report(state, values, places);
    }

    private void ask(Rows asked, long[] places, String block, Chunk chunk) {
        Rows.Table table = asked.all(places);
        for (int from = 0; from < asked.count(); from += CHUNK) {
            int count = Math.min(CHUNK, asked.count() - from);
            values.give("asked", table, table.numbers(from, count));
            values.call(block);
            chunk.ran(from, count);
        }
    }

    private List<String> names(long[] places) {
        List<String> made = new ArrayList<>();
        for (long place : places) {
            made.add(state.names.get((int) place));
        }
        return made;
    }

    private long place(String name) {
        int found = state.names.indexOf(name);
        if (found < 0) {
            throw new SparclException("`" + name + "`: is no class of this learner; give one of " + state.names);
        }
        return found;
    }

    /** The places of classes, ascending. */
    private long[] places(List<String> classes) {
        TreeSet<Long> made = new TreeSet<>();
        for (String name : classes) {
            made.add(place(name));
        }
        checkBegun();
        if (made.isEmpty()) {
            throw new SparclException("`classes`: there are none to choose among; give at least one");
        }
        return made.stream().mapToLong(Long::longValue).toArray();
    }

    private void checkBegun() {
        if (!state.isBegun()) {
            throw new SparclException("nothing was learnt yet; begin with learn(samples, labels)");
        }
    }
}
