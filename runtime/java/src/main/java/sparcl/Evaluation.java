package sparcl;

import java.util.Map;

/** Accuracies in percent. */
public final class Evaluation {
    /** Over all samples. */
    public final double accuracy;
    /** Over the samples of each class that has any. */
    public final Map<String, Double> byClass;
    /** How many samples there were. */
    public final int samples;

    Evaluation(double accuracy, Map<String, Double> byClass, int samples) {
        this.accuracy = accuracy;
        this.byClass = byClass;
        this.samples = samples;
    }
}
