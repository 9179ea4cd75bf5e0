package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Interprets a program: operations over named values (docs/interfaces.md). It knows no method and computes nothing.
 */
class Interpreter extends Values {
    /** Where the samples come from. */
    interface Tables {
        /** The table of this name; {@code number} is the value {@code task}, or {@code of} for the table test. */
        Rows.Table table(String name, int number);
    }

    /** Sees every graph that has run, with its results. */
    interface Watch {
        void ran(String graph, Map<String, OnnxTensor> results);
    }

    /** How many events of each kind have run in this task. */
    final Map<String, Long> fired = new LinkedHashMap<>();

    /** Sees every graph that has run. */
    Watch watch = (graph, results) -> {};

    /** How each verb is run; a test that injects a fault replaces one. */
    final Map<String, Consumer<Json>> verbs = new HashMap<>();

    private final Engine engine;
    private final Json program;
    private final Tables tables;
    private final Map<String, Map<String, String>> columns = new HashMap<>();

    Interpreter(Engine engine, Json manifest, Tables tables) {
        this.engine = engine;
        this.program = manifest.get("program");
        this.tables = tables;
        program.get("counters").names().forEach(name -> put(name, program.get("counters").get(name).integer()));
        program.get("vectors").names().forEach(name -> put(name, program.get("vectors").get(name).integers()));
        verbs.put("run", this::graph);
        verbs.put("when", op -> run(holdsOne(op.get("any")) ? op.get("then") : op.get("otherwise")));
        verbs.put("each", this::each);
        verbs.put("rows", this::rows);
        verbs.put("slice", this::slice);
        verbs.put("gather", op -> give(op.get("give").text(), table("train"), integers(op.get("rows").text())));
        verbs.put("reset", op -> op.get("state").texts().forEach(engine::reset));
        verbs.put("set", op -> put(op.get("name").text(), longOf(op.get("to"))));
        verbs.put("count", this::count);
        verbs.put("due", this::due);
        verbs.put("fail", this::fail);
        verbs.put("call", op -> call(op.get("block").text()));
        for (String column : new String[] {"g1", "g2"}) {
            columns.put(column, new HashMap<>());
            for (Json weight : manifest.get("weights")) {
                columns.get(column).put(weight.get("accumulator").text(), weight.get(column).text());
            }
        }
        beginEvents();
    }

    /** No event has run: a task begins. */
    void beginEvents() {
        program.get("events").names().forEach(kind -> fired.put(kind, 0L));
    }

    /** Runs a block by its name; throws SparclException where the program fails. */
    void call(String block) {
        Json found = program.get("blocks").get(block);
        if (found.isNull()) {
            throw new SparclException("the program has no block " + block + "; compile the model again");
        }
        run(found);
    }

    private void run(Json block) {
        for (Json operation : block) {
            Consumer<Json> verb = verbs.get(operation.get("do").text());
            if (verb == null) {
                String line = "the program has the verb " + operation.get("do").text();
                throw new SparclException(line + "; use a newer driver");
            }
            verb.accept(operation);
        }
    }

    private long longOf(Json source) {
        return source.isText() ? integer(source.text()) : source.integer();
    }

    private void graph(Json op) {
        String graph = op.get("graph").text();
        String give = op.text("give", "");
        Map<String, OnnxTensor> feeds = new HashMap<>();
        List<OnnxTensor> made = new ArrayList<>();
        for (Json input : engine.spec(graph).get("inputs")) {
            OnnxTensor fed = feed(op, input, made);
            if (fed != null) {
                feeds.put(input.get("name").text(), fed);
            }
        }
        Map<String, String> instead = columns.getOrDefault(op.text("into", ""), Collections.<String, String>emptyMap());
        Map<String, OnnxTensor> results = engine.run(graph, feeds, instead);
        made.forEach(OnnxTensor::close);
        results.forEach((output, tensor) -> {
            String name = give.isEmpty() ? output : give + "." + output;
            put(op.get("results").isNull() ? name : op.get("results").text(output, name), tensor);
        });
        watch.ran(graph, results);
    }

    /** What feeds an input, null for the state; {@code made} gets what is to be closed afterwards. */
    private OnnxTensor feed(Json op, Json input, List<OnnxTensor> made) {
        String name = input.get("name").text();
        String taken = op.text("take", "") + "." + name;
        Json own = op.get("feeds").isNull() ? op.get("feeds") : op.get("feeds").get(name);
        if (own.isNull() && !has(taken)) {
            return null;
        }
        Json source = own.isNull() ? Json.of(taken) : own;
        Object value = source.isText() ? value(source.text()) : source.plain;
        if (value instanceof OnnxTensor) {
            return (OnnxTensor) value;
        }
        String dtype = engine.dtype(input.get("dtype").text());
        OnnxTensor tensor = value instanceof Number ? scalar(dtype, (Number) value, input) : vector(dtype, value);
        made.add(tensor);
        return tensor;
    }

    /** A number in the shape of the input where that has fixed lengths. */
    private static OnnxTensor scalar(String dtype, Number value, Json input) {
        boolean open = input.get("shape").toString().contains("\"");
        long[] shape = open ? new long[0] : input.get("shape").integers();
        int count = Math.toIntExact(Tensors.count(shape));
        return Tensors.of(dtype, Collections.nCopies(count, value).toArray(new Number[0]), shape);
    }

    private OnnxTensor vector(String dtype, Object value) {
        List<Number> numbers = new ArrayList<>();
        if (value instanceof long[]) {
            numbers.addAll(Numbers.list((long[]) value));
        } else {
            for (Json part : Json.of(value)) {
                numbers.add(part.isText() ? number(part.text()) : part.number());
            }
        }
        return Tensors.of(dtype, numbers.toArray(new Number[0]), new long[] {numbers.size()});
    }

    private boolean holdsOne(Json conditions) {
        for (Json one : conditions) {
            if (holds(integer(one.get("value").text()), one)) {
                return true;
            }
        }
        return false;
    }

    private static boolean holds(long value, Json condition) {
        Json least = condition.get("at_least");
        Json every = condition.get("every");
        boolean met = every.isNull() ? value != 0 : value % every.integer() == 0;
        return least.isNull() ? met : value >= least.integer();
    }

    private void each(Json op) {
        long last = integer(op.get("last").text());
        for (long number = 0; number <= last; number++) {
            put(op.get("name").text(), number);
            run(op.get("block"));
        }
    }

    private Rows.Table table(String name) {
        String number = name.equals("test") ? "of" : "task";
        return tables.table(name, Math.toIntExact(integer(number)));
    }

    private void rows(Json op) {
        Rows.Table table = table(op.get("table").text());
        int most = Math.toIntExact(op.get("at_most").integer());
        for (int from = 0; from < table.count(); from += most) {
            give(op.get("give").text(), table, table.numbers(from, Math.min(most, table.count() - from)));
            run(op.get("block"));
        }
    }

    private void slice(Json op) {
        String position = op.get("position").text();
        long from = integer(position);
        long to = Math.min(from + integer(op.get("count").text()), integer(op.get("end").text()));
        long[] vector = integers(op.get("vector").text());
        put(op.get("give").text(), Arrays.copyOfRange(vector, (int) from, (int) Math.max(from, to)));
        put(position, to);
    }

    private void count(Json op) {
        String rows = op.text("rows", "");
        long more = op.get("add").isNull() ? 1 : longOf(op.get("add"));
        String name = op.get("name").text();
        put(name, integer(name) + (rows.isEmpty() ? more : length(rows)));
    }

    private void due(Json op) {
        String kind = op.get("events").text();
        String task = integer("task") == 0 ? "first" : "later";
        List<Json> events = new ArrayList<>();
        for (Json event : program.get("events").get(kind)) {
            String tasks = event.get("tasks").text();
            if (tasks.equals(task) || tasks.equals("all")) {
                events.add(event);
            }
        }
        long[] made = {integer("epoch"), integer("epochs"), integer("done"), integer("total")};
        while (fired.get(kind) < events.size() && reached(events.get(fired.get(kind).intValue()).get("at"), made)) {
            Json event = events.get(fired.get(kind).intValue());
            fired.put(kind, fired.get(kind) + 1);
            for (String name : event.get("feeds").names()) {
                Json feed = event.get("feeds").get(name);
                put("event." + name, feed.isText() ? integers(feed.text()) : feed.integers());
            }
            run(op.get("block"));
        }
    }

    /** Whether a share of the task is reached, compared in integers. */
    private static boolean reached(Json at, long[] made) {
        long[] share = at.integers();
        return (made[0] * made[3] + made[2]) * share[1] >= share[0] * made[3] * made[1];
    }

    private void fail(Json op) {
        Json names = op.get("names");
        String name = op.get("of").text();
        Object shown = names.isNull() ? number(name) : ((List<?>) names.plain).get((int) integer(name));
        String message = op.get("message").text().replace("{}", String.valueOf(shown));
        long[] at = {integer("task") + 1, integer("epoch") + 1, integer("task_step") + 1};
        String line = "%s in task %d, epoch %d, step %d; lower the learning rate (now %s)";
        throw new SparclException(String.format(line, message, at[0], at[1], at[2], number("learning_rate")));
    }
}
