package sparcl;

import java.util.Collections;
import java.util.List;

/** Classes of samples with their probabilities. */
public final class Answers {
    /** The class of each sample with the largest probability. */
    public final List<String> names;
    /** The classes that were to choose among, in the order of the columns. */
    public final List<String> classes;
    /** A row for each sample with a probability for each class; a row sums to 1. */
    public final float[][] probabilities;

    Answers(List<String> names, List<String> classes, float[][] probabilities) {
        this.names = Collections.unmodifiableList(names);
        this.classes = Collections.unmodifiableList(classes);
        this.probabilities = probabilities;
    }
}
