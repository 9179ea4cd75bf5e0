package sparcl;

import java.util.HashMap;
import java.util.Map;

/** Interpreters with one fault each, which a conformance kit must refuse. */
final class Faults {
    private Faults() {}

    /** The interpreter with a fault of this name, or the right one for none. */
    static Interpreter interpreter(String fault, Engine engine, Json manifest, Interpreter.Tables tables) {
        return fault.isEmpty()
                ? new Interpreter(engine, manifest, tables)
                : new Faulty(fault, engine, manifest, tables);
    }

    /** An interpreter with a fault. */
    private static final class Faulty extends Interpreter {
        private final String fault;
        private boolean skipped;

        Faulty(String fault, Engine engine, Json manifest, Tables tables) {
            super(engine, manifest, tables);
            this.fault = fault;
        }

        @Override
        void run(String verb, Json op) {
            switch (fault) {
                case "wrong-order": // the samples of an epoch come backwards
                    super.run(verb, op);
                    if (verb.equals("run") && op.get("graph").text().equals("order")) {
                        put("order", reversed(integers("order")));
                    }
                    return;
                case "skipped-event": // the first event of a run is passed over
                    if (verb.equals("due") && !skipped && integer("done") > 0) {
                        skipped = true;
                        String kind = op.get("events").text();
                        fired.put(kind, fired.get(kind) + 1);
                    }
                    super.run(verb, op);
                    return;
                case "no-into": // measured gradients land in the accumulators
                    super.run(verb, without(op, "into"));
                    return;
                case "no-feeds-first": // the values of a batch go before the feeds
                    super.run(verb, op.text("take", "").isEmpty() ? op : without(op, "feeds"));
                    return;
                case "uncounted-rows": // rows are counted as one
                    super.run(verb, verb.equals("count") ? without(op, "rows") : op);
                    return;
                default:
                    throw new IllegalArgumentException("no fault of this name: " + fault);
            }
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
}
