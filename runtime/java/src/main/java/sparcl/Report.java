package sparcl;

import java.util.Map;

/** What is known of a learner. */
public final class Report {
    static final String[] RESULTS = {
        "accuracy", "overall", "gradient_overall", "all_parameters", "paper_dense", "paper_sparse", "true_dense",
        "true_sparse",
    };

    /** The accuracy of the last evaluation in percent; NaN where there was none. */
    public final double accuracy;
    /** The same by class, for those that occurred. */
    public final Map<String, Double> byClass;
    /** Numbers by name: sparsities ({@code overall}, ...), FLOPs ({@code true_sparse}, ...). */
    public final Map<String, Double> results;
    /** The counters by name: {@code task}, {@code step}, {@code samples_removed}, ... */
    public final Map<String, Long> counters;
    /** Bytes of the state's files. */
    public final long bytes;

    Report(Map<String, Double> byClass, Map<String, Double> results, Map<String, Long> counters, long bytes) {
        this.accuracy = results.getOrDefault("accuracy", Double.NaN);
        this.byClass = byClass;
        this.results = results;
        this.counters = counters;
        this.bytes = bytes;
    }
}
