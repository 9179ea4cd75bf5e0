package sparcl;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What is known of a learner. */
public final class Report {
    /** The names of the classes, by place of the head. */
    public final List<String> classes;
    /** How many places the head has. */
    public final long places;
    /** How many tasks are learnt. */
    public final long tasks;
    /** The accuracy of the last evaluation in percent; NaN before the first. */
    public final double accuracy;
    /** The same by class, where there were samples of it. */
    public final Map<String, Double> accuracyByClass;
    /** The share of zeros among the masked weights. */
    public final double sparsity;
    /** The share of their gradients that is not applied. */
    public final double gradientSparsity;
    /** The share of zeros among all parameters. */
    public final double allParameters;
    /** FLOPs of all training: {@code paper_dense}, {@code paper_sparse}, {@code true_dense}, {@code true_sparse}. */
    public final Map<String, Double> trainingFlops;
    /** The steps that were made. */
    public final long steps;
    /** Presentations of a task's samples. */
    public final long samplesSeen;
    /** Presentations from the replay buffer. */
    public final long samplesReplayed;
    /** Samples that their task left out, since it had learnt them. */
    public final long samplesRemoved;
    /** The time spent in steps. */
    public final double seconds;
    /** Bytes of the tensors that a save writes. */
    public final long stateBytes;

    /** Reads the values behind the block {@code report}, which runs where something was learnt. */
    Report(State state, Interpreter values, long places) {
        values.call("report");
        classes = Collections.unmodifiableList(new ArrayList<>(state.names));
        this.places = places;
        tasks = values.integer("task");
        accuracy = result(values, "accuracy");
        accuracyByClass = new LinkedHashMap<>();
        for (int place = 0; place < classes.size(); place++) {
            accuracyByClass.put(classes.get(place), values.numbers("result.by_class")[place].doubleValue());
        }
        accuracyByClass.values().removeIf(one -> Double.isNaN(one));
        sparsity = result(values, "overall");
        gradientSparsity = result(values, "gradient_overall");
        allParameters = result(values, "all_parameters");
        trainingFlops = new LinkedHashMap<>();
        for (String name : new String[] {"paper_dense", "paper_sparse", "true_dense", "true_sparse"}) {
            trainingFlops.put(name, result(values, name));
        }
        steps = values.integer("step");
        samplesSeen = values.integer("samples_seen");
        samplesReplayed = values.integer("samples_replayed");
        samplesRemoved = values.integer("samples_removed");
        seconds = state.seconds;
        stateBytes = state.size();
    }

    private static double result(Interpreter values, String name) {
        return values.number("result." + name).doubleValue();
    }
}
