package sparcl;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
    private final Folder folder;

    Questions(State state, Interpreter values, Folder folder) {
        this.state = state;
        this.values = values;
        this.folder = folder;
    }

    Answers predict(Rows asked, List<String> classes) {
        long[] places = places(classes);
        List<String> best = new ArrayList<>();
        float[][] probabilities = new float[asked.count()][places.length];
        ask(asked, places, "predict", (from, count) -> {
            best.addAll(names(values.integers("best")));
            ByteBuffer found = values.content("probability");
            for (int row = from; row < from + count; row++) {
                for (int column = 0; column < places.length; column++) {
                    probabilities[row][column] = found.getFloat();
                }
            }
        });
        return new Answers(best, names(places), probabilities);
    }

    Report evaluate(Rows asked, List<String> labels, List<String> classes) {
        long[] places = places(classes);
        for (int row = 0; row < asked.count(); row++) {
            asked.labels[row] = place(labels.get(row));
        }
        values.call("begin_score");
        ask(asked, places, "score", (from, count) -> { });
        state.changed = true;
        return report();
    }

    Report report() {
        Map<String, Double> results = new LinkedHashMap<>();
        Map<String, Double> byClass = new LinkedHashMap<>();
        Map<String, Long> counters = new LinkedHashMap<>();
        if (state.isBegun()) {
            values.call("report");
            for (String name : Report.RESULTS) {
                results.put(name, values.number("result." + name).doubleValue());
            }
            Number[] found = values.numbers("result.by_class");
            for (int place = 0; place < state.names.size(); place++) {
                byClass.put(state.names.get(place), found[place].doubleValue());
            }
            byClass.values().removeIf(accuracy -> Double.isNaN(accuracy));
        }
        for (String name : state.counters()) {
            counters.put(name, values.integer(name));
        }
        return new Report(byClass, results, counters, folder.size());
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
        if (made.isEmpty() || !state.isBegun()) {
            throw new SparclException("nothing was learnt yet; begin with learn(samples, labels)");
        }
        return made.stream().mapToLong(Long::longValue).toArray();
    }
}
