package sparcl;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * An artifact that goes on learning inside an app (docs/learner.md).
 *
 * <pre>{@code
 * try (Learner learner = Learner.open(artifact, state)) {  // takes up where it was, or starts
 *     learner.learn(samples, labels);                      // one task; a new name takes a free place of the head
 *     Answers answers = learner.predict(samples);
 * }
 * }</pre>
 *
 * <p>Every call throws {@link SparclException} with one line where it cannot be done. One thread uses a learner at a
 * time; calls of others wait.
 */
public final class Learner implements AutoCloseable {
    private final Artifact artifact;
    private final Options options;
    private final Folder folder;
    private final Engine engine;
    /** Not for apps: a test puts faults into it. */
    final Interpreter values;
    private final Loop loop;
    private final State state;
    private final Intake intake;
    private final Beginning beginning;
    private final Questions questions;
    private final Turn turn;

    private Learner(Path artifact, Path state, Options options) {
        this.artifact = new Artifact(artifact);
        this.artifact.checkForApps();
        this.options = options;
        engine = new Engine(this.artifact, options.threads, options.kernels);
        if (state.toAbsolutePath().normalize().startsWith(artifact.toAbsolutePath().normalize())) {
            throw new SparclException("`state` " + state + ": is a compiled artifact or in one; name another place");
        }
        folder = new Folder(state);
        turn = new Turn(folder.path);
        values = new Interpreter(engine, this.artifact.manifest, this::table);
        loop = new Loop(engine, values);
        this.state = new State(this.artifact, folder, engine, values, loop);
        beginning = new Beginning(this.artifact, options, this.state, engine, values);
        questions = new Questions(this.state, values, this.artifact.manifest.get("model").get("classes").integer());
        intake = new Intake(this.artifact.manifest.get("model"), this.state, engine, values);
    }

    /** Opens an artifact with the state of a folder, which is made if needed. */
    public static Learner open(Path artifact, Path state) {
        return open(artifact, state, new Options());
    }

    /** Opens an artifact with the state of a folder. */
    public static Learner open(Path artifact, Path state, Options options) {
        Learner made = new Learner(artifact, state, options);
        try {
            made.load();
        } catch (RuntimeException error) {
            made.release();
            throw error;
        }
        return made;
    }

    private void load() {
        state.load();
        Json model = artifact.manifest.get("model");
        own("artifact", null, artifact.identity);
        own("seed", options.seed, 0L);
        own("buffer_size", options.buffer, 200L);
        own("augment", options.augment, "auto");
        own("normalise", options.normalise, "auto");
        String augment = (String) state.identity.get("augment");
        boolean lacks = artifact.manifest.get("graphs").get(augment).isNull();
        if (lacks && !augment.equals("auto") && !augment.equals("none")) {
            throw new SparclException("`augment` " + augment + ": is not for samples of this model; give auto or none");
        }
        values.put("seed", state.identity.get("seed"));
        values.put("class_order_seed", 0L);
        values.put("classes_in_data", model.get("classes").integer());
        if (state.task != null) {
            beginning.give(state.task);
        }
    }

    /** An option of the state: the state's own, which must be the given one, or for a new state that or the default. */
    private void own(String name, Object given, Object otherwise) {
        Object found = state.identity.get(name);
        if (found != null && given != null && !found.equals(given)) {
            String line = "%s: has `%s` %s, this call %s; leave it out, or give another folder as state";
            throw new SparclException(String.format(line, folder.path, name, found, given));
        }
        state.identity.put(name, found != null ? found : given != null ? given : otherwise);
    }

    private Rows.Table table(String name, int number) {
        return state.task.table;
    }

    /** Learns one task. */
    public Effort.Outcome learn(Samples samples, List<String> labels) {
        return learn(samples, labels, new Effort());
    }

    /** Learns one task, as far as the effort allows; what is not finished stays under way. */
    public synchronized Effort.Outcome learn(Samples samples, List<String> labels, Effort effort) {
        folder.checkOpen();
        turn.check();
        if (state.task != null) {
            throw new SparclException(
                    "a task is under way; go on with it by learn() without samples, or end it with endTask()");
        }
        effort.checkSteps();
        Rows rows = intake.labelled(samples, labels);
        try {
            beginning.begin(rows, effort, 0);
        } catch (SparclException error) {
            load();
            throw error;
        }
        return turn.held(() -> study(effort, true));
    }

    /** Goes on with the task under way, then with all observed samples that wait. */
    public Effort.Outcome learn() {
        return learn(new Effort());
    }

    /** Goes on with the task under way, then with all observed samples that wait, as far as the effort allows. */
    public synchronized Effort.Outcome learn(Effort effort) {
        effort.checkSteps();
        return turn.held(() -> study(effort, true));
    }

    /** Keeps one sample, then learns as far as the effort allows; its shape begins with 1. */
    public synchronized Effort.Outcome observe(Samples sample, String label, Effort effort) {
        if (sample.count() != 1) {
            throw new SparclException("`sample`: are " + sample.count() + " samples; give one, of the shape [1, ...]");
        }
        folder.checkOpen();
        if (effort.steps != 0) {
            turn.check();
        }
        state.keep(intake.rows(sample), label);
        return effort.steps == 0 ? new Effort.Outcome("done", 0, Double.NaN) : turn.held(() -> study(effort, false));
    }

    /** Goes on until the effort is spent; {@code all}: as {@link #learn(Effort)} does, else as an observation. */
    private Effort.Outcome study(Effort effort, boolean all) {
        folder.checkOpen();
        Course course = new Course(effort, state, values);
        try {
            while (course.goesOn()) {
                if (state.task == null && !next(effort, all)) {
                    return course.outcome("done");
                }
                if (loop.study(state.task.rows.count(), "close_task", course)) {
                    state.end();
                }
            }
        } catch (SparclException error) {
            load();
            throw error;
        }
        if (all && state.changed) {
            state.save();
        }
        return course.outcome(state.task == null && state.pending.count() < enough(all) ? "done" : course.reason());
    }

    /** Begins a task of the observed samples: all of them, or where there are as many as a batch has. */
    private boolean next(Effort effort, boolean all) {
        int count = state.pending.count();
        if (count >= enough(all)) {
            beginning.begin(state.pending.joined(state), effort, count);
        }
        return count >= enough(all);
    }

    /** How many observed samples make a task. */
    private long enough(boolean all) {
        return all ? 1 : options.batch == null ? Beginning.SMALLEST : options.batch;
    }

    /** Ends the task under way as it stands; its other samples are dropped. */
    public synchronized void endTask() {
        folder.checkOpen();
        turn.check();
        if (state.task == null) {
            throw new SparclException("no task is under way; begin one with learn(samples, labels)");
        }
        // The next task would replay from a buffer that nothing has filled.
        if (values.integer("samples_seen") == 0) {
            throw new SparclException("nothing of the task under way is learned yet; call learn() first");
        }
        values.call("close_task");
        state.end();
    }

    /** The classes of samples, out of all that have a name. */
    public Answers predict(Samples samples) {
        return predict(samples, state.names);
    }

    /** The classes of samples, out of those of a task, counted from 0. */
    public Answers predictTask(Samples samples, int task) {
        return predict(samples, classesOf(task));
    }

    /** The names of the classes of a task, counted from 0. */
    public synchronized List<String> classesOf(int task) {
        if (task < 0 || task >= tasks()) {
            throw new SparclException("`task` " + task + ": " + tasks() + " are learnt, counted from 0; give one");
        }
        List<String> made = new ArrayList<>();
        for (long place : state.tasks.get(task)) {
            made.add(state.names.get((int) place));
        }
        return made;
    }

    /** How many tasks are learnt. */
    public synchronized int tasks() {
        return state.tasks.size();
    }

    /** Whether a task is begun and not finished, which {@link #learn()} goes on with. */
    public synchronized boolean isUnderWay() {
        return state.task != null;
    }

    /** How many observed samples wait for their task. */
    public synchronized int waiting() {
        return state.pending.count();
    }

    /** How many samples were ever observed. */
    public synchronized long observed() {
        return state.taken + state.pending.count();
    }

    /** The names of all classes, by place of the head. */
    public synchronized List<String> classes() {
        return new ArrayList<>(state.names);
    }

    /** The classes of samples, out of some. */
    public synchronized Answers predict(Samples samples, List<String> classes) {
        folder.checkOpen();
        return questions.predict(intake.rows(samples), classes);
    }

    /** The accuracy over samples, with all classes to choose among. */
    public Evaluation evaluate(Samples samples, List<String> labels) {
        return evaluate(samples, labels, classes());
    }

    /** The accuracy over samples, with some classes to choose among. */
    public synchronized Evaluation evaluate(Samples samples, List<String> labels, List<String> classes) {
        folder.checkOpen();
        return questions.evaluate(intake.rows(samples), labels, classes);
    }

    /** What is known of this learner. */
    public synchronized Report report() {
        folder.checkOpen();
        return questions.report();
    }

    /** Writes the state as it is, also in the middle of an epoch. */
    public synchronized void save() {
        folder.checkOpen();
        if (state.isBegun()) {
            state.save();
        }
    }

    /** Saves what is not saved, and gives the state and all memory back. */
    @Override
    public synchronized void close() {
        turn.check();
        try {
            if (state.isBegun() && state.changed) {
                state.save();
            }
        } finally {
            release();
        }
    }

    private void release() {
        values.close();
        engine.close();
        folder.close();
    }
}
