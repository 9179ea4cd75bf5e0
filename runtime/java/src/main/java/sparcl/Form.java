package sparcl;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;

/** The form of a learner's raw samples, [C, H, W] and a type, and how samples get it (docs/learner.md). */
final class Form {
    /** Resizes images. */
    interface Resizer {
        /** The bytes of images [N, C, H, W] in the model's height and width. */
        ByteBuffer resized(ByteBuffer images, String dtype, long[] shape);
    }

    private static final int[][] SAME = {{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}, {0, 1, 2, 3, 4}};
    private static final int[] CHANNELS_FIRST = {0, 3, 1, 2};

    private final Json model;
    private final String layout;
    private final Resizer resizer;

    Form(Json model, Resizer resizer) {
        this.model = model;
        this.layout = model.get("layout").text();
        this.resizer = resizer;
    }

    boolean isImages() {
        return layout.equals("NCHW") || layout.equals("NHWC");
    }

    /** Samples in their form, without labels. */
    Rows rows(Samples given) {
        if (given.single.isEmpty()) {
            return one(given);
        }
        Rows[] parts = new Rows[given.count()];
        long size = 0;
        for (int place = 0; place < parts.length; place++) {
            parts[place] = one(given.single.get(place));
            size += parts[place].raw.remaining();
            if (!parts[place].dtype.equals(parts[0].dtype) || !Arrays.equals(parts[place].shape, parts[0].shape)) {
                throw new SparclException("`samples`: the images of a list differ in their type or their channels");
            }
        }
        ByteBuffer whole = Tensors.bytes(size);
        for (Rows part : parts) {
            whole.put(part.raw);
        }
        return new Rows(Tensors.rewound(whole), parts[0].dtype, parts[0].shape, new long[parts.length]);
    }

    private Rows one(Samples given) {
        int[] axes = axes(given.shape);
        long[] shape = new long[axes.length];
        for (int place = 0; place < axes.length; place++) {
            shape[place] = given.shape[axes[place]];
        }
        ByteBuffer content = given.transposed(axes);
        long[] raw = raw(shape);
        if (isImages() && differs(raw)) {
            content = resizer.resized(content, given.dtype, new long[] {given.shape[0], raw[0], raw[1], raw[2]});
            raw = new long[] {raw[0], length("H"), length("W")};
        }
        check(given.shape, raw);
        checkValues(given);
        return new Rows(content, given.dtype, raw, new long[given.count()]);
    }

    /** The order in which the axes are taken: channels behind the number of samples. */
    private int[] axes(long[] shape) {
        if (layout.equals("NTC") && shape.length == 3) {
            return new int[] {0, 2, 1};
        }
        if (layout.equals("NDHWC") && shape.length == 5) {
            return new int[] {0, 4, 1, 2, 3};
        }
        if (shape.length == 4 && isImages() && shape[1] != length("C")) {
            return CHANNELS_FIRST;
        }
        if (shape.length < 2 || shape.length > 5) {
            throw misfit(shape);
        }
        return SAME[shape.length - 1];
    }

    /** The lengths C, H and W of raw samples of this shape [N, ...], channels first. */
    private long[] raw(long[] shape) {
        boolean series = layout.equals("NCT") || layout.equals("NTC");
        switch (shape.length) {
            case 2:
                return new long[] {shape[1], 1, 1};
            case 3:
                return series ? new long[] {shape[1], shape[2], 1} : new long[] {1, shape[1], shape[2]};
            case 4:
                return new long[] {shape[1], shape[2], shape[3]};
            default:
                return new long[] {shape[1], shape[2] * shape[3], shape[4]};
        }
    }

    private boolean differs(long[] raw) {
        return length("H") > 0 && length("W") > 0 && (raw[1] != length("H") || raw[2] != length("W"));
    }

    /** A length of the model's images; 0 where it may vary. */
    private long length(String axis) {
        Json found = Json.of(((java.util.List<?>) model.get("input_shape").plain).get(layout.indexOf(axis) - 1));
        return found.isNull() ? 0 : found.integer();
    }

    private void check(long[] given, long[] raw) {
        long elements = 1;
        long taken = 1;
        boolean open = false;
        for (Json one : model.get("input_shape")) {
            open = open || one.isNull();
            taken *= one.isNull() ? 1 : one.integer();
        }
        for (long length : raw) {
            elements *= length;
        }
        boolean fits = open ? elements % taken == 0 : elements == taken;
        if (!fits || (isImages() && raw[0] != length("C"))) {
            throw misfit(given);
        }
    }

    /** Refuses what a model cannot take that was made for values as they are: bytes, or places in a table. */
    private void checkValues(Samples given) {
        boolean raw = model.get("raw").flag();
        boolean bytes = "uint8".equals(model.get("input_type").plain);
        boolean given8 = given.dtype.equals("uint8");
        if (raw && bytes != given8 && (bytes || !model.get("input_type").text().startsWith("float"))) {
            String taken = bytes ? "bytes" : "floats";
            String line = "`samples`: are %s, and the model takes %s; give those";
            throw new SparclException(String.format(line, given.dtype, taken));
        }
        if (!given8) {
            checkFloats(given.content.duplicate().order(given.content.order()).asFloatBuffer());
        }
    }

    private void checkFloats(FloatBuffer numbers) {
        long rows = model.get("rows").isNull() ? Long.MAX_VALUE : model.get("rows").integer();
        while (numbers.hasRemaining()) {
            float number = numbers.get();
            if (Float.isNaN(number) || Float.isInfinite(number)) {
                throw new SparclException("`samples`: hold " + number + "; give finite numbers");
            }
            if (rows != Long.MAX_VALUE && (number != Math.rint(number) || number < 0 || number >= rows)) {
                String line = "`samples`: hold %s, and the model's table has %d rows; give whole numbers from 0";
                throw new SparclException(String.format(line, number, rows));
            }
        }
    }

    private SparclException misfit(long[] given) {
        String shape = Arrays.toString(Arrays.copyOfRange(given, 1, given.length));
        String line = "`samples`: a sample has the shape %s, and the model takes %s as %s; give samples of that shape";
        return new SparclException(String.format(line, shape, model.get("input_shape"), layout));
    }
}
