package sparcl;

import java.nio.file.Path;
import java.util.Arrays;

/**
 * How a learner is opened. What is left out is that of the state, or of a new one the default.
 *
 * <p>{@code seed}, {@code buffer}, {@code augment} and {@code normalise} belong to the state: given again, they must be
 * the same. The others hold for this opening.
 */
public final class Options {
    Long seed;
    Long buffer;
    String augment;
    String normalise;
    Long batch;
    Double learningRate;
    int threads = Runtime.getRuntime().availableProcessors();
    Path kernels;

    /** The seed of everything that is drawn; by default 0. */
    public Options seed(long value) {
        if (value < 0) {
            throw new SparclException("`seed` " + value + ": give at least 0");
        }
        seed = value;
        return this;
    }

    /** How many samples the replay buffer holds; by default 200. */
    public Options buffer(long value) {
        check("buffer", value);
        buffer = value;
        return this;
    }

    /** How training samples change at random: auto, none, crop_flip or jitter_shift_scale. */
    public Options augment(String value) {
        augment = oneOf("augment", value, "auto", "none", "crop_flip", "jitter_shift_scale");
        return this;
    }

    /** How samples are normalised: auto (by their own mean and deviation), unit or raw. */
    public Options normalise(String value) {
        normalise = oneOf("normalise", value, "auto", "unit", "raw");
        return this;
    }

    /** Samples of a step; by default one that gives a task enough steps. */
    public Options batch(long value) {
        check("batch", value);
        batch = value;
        return this;
    }

    /** The learning rate; by default the artifact's own. */
    public Options learningRate(double value) {
        if (!(value > 0) || Double.isInfinite(value)) {
            throw new SparclException("`learningRate` " + value + ": give a number above 0, for example 0.03");
        }
        learningRate = value;
        return this;
    }

    /** Threads of ONNX Runtime; by default one for each core. */
    public Options threads(int value) {
        check("threads", value);
        threads = value;
        return this;
    }

    /** The library of sparse kernels, which an artifact compiled with {@code --compress} needs. */
    public Options kernels(Path value) {
        kernels = value;
        return this;
    }

    private static String oneOf(String name, String value, String... known) {
        if (!Arrays.asList(known).contains(value)) {
            String line = "`%s` %s: give one of %s";
            throw new SparclException(String.format(line, name, value, String.join(", ", known)));
        }
        return value;
    }

    private static void check(String name, long value) {
        if (value < 1) {
            throw new SparclException("`" + name + "` " + value + ": give at least 1");
        }
    }
}
