package sparcl;

import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;

/** Interpreters with one fault each, which a conformance kit must refuse. */
final class Faults {
    private Faults() {}

    /** Puts the fault of this name into an interpreter; none where the name is empty. */
    static void put(String fault, Interpreter into) {
        switch (fault) {
            case "":
                return;
            case "wrong-order":
                wrongOrder(into);
                return;
            case "skipped-event":
                skippedEvent(into);
                return;
            case "no-into": // measured gradients land in the accumulators
                changed(into, "run", op -> without(op, "into"));
                return;
            case "no-feeds-first": // the values of a batch go before the feeds
                changed(into, "run", op -> op.text("take", "").isEmpty() ? op : without(op, "feeds"));
                return;
            case "uncounted-rows": // rows are counted as one
                changed(into, "count", op -> without(op, "rows"));
                return;
            default:
                throw new IllegalArgumentException("no fault of this name: " + fault);
        }
    }

    /** The samples of an epoch come backwards. */
    private static void wrongOrder(Interpreter values) {
        Consumer<Json> run = values.verbs.get("run");
        values.verbs.put("run", op -> {
            run.accept(op);
            if (op.get("graph").text().equals("order")) {
                values.put("order", reversed(values.integers("order")));
            }
        });
    }

    /** The first event of a run is passed over. */
    private static void skippedEvent(Interpreter values) {
        Consumer<Json> due = values.verbs.get("due");
        boolean[] skipped = new boolean[1];
        values.verbs.put("due", op -> {
            if (!skipped[0] && values.integer("done") > 0) {
                skipped[0] = true;
                String kind = op.get("events").text();
                values.fired.put(kind, values.fired.get(kind) + 1);
            }
            due.accept(op);
        });
    }

    /** Operations of this verb are other ones. */
    private static void changed(Interpreter values, String verb, Change change) {
        Consumer<Json> right = values.verbs.get(verb);
        values.verbs.put(verb, op -> right.accept(change.of(op)));
    }

    /** Makes another operation. */
    private interface Change {
        Json of(Json op);
    }

    private static long[] reversed(long[] numbers) {
        long[] made = new long[numbers.length];
        for (int place = 0; place < made.length; place++) {
            made[place] = numbers[made.length - 1 - place];
        }
        return made;
    }

    private static Json without(Json op, String name) {
        Map<Object, Object> made = new HashMap<>((Map<?, ?>) op.plain);
        if (name.equals("feeds")) {
            Map<Object, Object> feeds = new HashMap<>((Map<?, ?>) made.getOrDefault("feeds", new HashMap<>()));
            feeds.remove("class_mask");
            made.put("feeds", feeds);
        } else {
            made.remove(name);
        }
        return Json.of(made);
    }
}
