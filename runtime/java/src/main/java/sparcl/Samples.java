package sparcl;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * Raw samples as an app has them: images {@code [N, C, H, W]} or {@code [N, H, W, C]}, grey ones also
 * {@code [N, H, W]}; vectors {@code [N, D]}; sequences and volumes in the model's own axes.
 */
public final class Samples {
    final String dtype;
    /** The lengths of all axes, the number of samples first. */
    final long[] shape;
    /** The elements in C order. */
    final ByteBuffer content;
    /** Samples of sizes of their own, one each; these alone where there are no others. */
    final List<Samples> single;

    private Samples(String dtype, long[] shape, ByteBuffer content, List<Samples> single) {
        this.dtype = dtype;
        this.shape = shape;
        this.content = content;
        this.single = single;
    }

    /** Samples of bytes, 0 to 255; {@code shape} has the lengths of all axes, the number of samples first. */
    public static Samples of(byte[] values, long... shape) {
        return made("uint8", ByteBuffer.wrap(values), values.length, shape);
    }

    /** Samples of floats. */
    public static Samples of(float[] values, long... shape) {
        ByteBuffer content = Tensors.bytes(values.length * (long) Float.BYTES);
        content.asFloatBuffer().put(values);
        return made("float32", content, values.length, shape);
    }

    /** Images of different heights and widths, one in each. */
    public static Samples of(List<Samples> images) {
        for (Samples one : images) {
            if (one.shape.length == 0 || one.shape[0] != 1) {
                throw new SparclException("`samples`: a list has one image in each entry; give it the shape [1, ...]");
            }
        }
        return new Samples(images.isEmpty() ? "uint8" : images.get(0).dtype, new long[] {images.size()}, null, images);
    }

    private static Samples made(String dtype, ByteBuffer content, int count, long[] shape) {
        if (shape.length < 2 || Tensors.count(shape) != count) {
            String line = "`samples`: %d numbers do not make the shape %s; give the lengths of all axes";
            throw new SparclException(String.format(line, count, Arrays.toString(shape)));
        }
        return new Samples(dtype, shape.clone(), content, Collections.<Samples>emptyList());
    }

    /** One of the samples, counted from 0, by itself. */
    public Samples row(int number) {
        if (number < 0 || number >= count()) {
            throw new SparclException("`row` " + number + ": there are " + count() + " samples, counted from 0");
        }
        if (!single.isEmpty()) {
            return single.get(number);
        }
        int size = content.limit() / count();
        Buffer part = content.duplicate();
        part.limit((number + 1) * size).position(number * size);
        long[] own = shape.clone();
        own[0] = 1;
        ByteBuffer one = ((ByteBuffer) part).slice().order(content.order());
        return new Samples(dtype, own, one, Collections.<Samples>emptyList());
    }

    int count() {
        return (int) shape[0];
    }

    /** These samples with their axes in another order, in memory that ONNX Runtime can read. */
    ByteBuffer transposed(int[] axes) {
        int size = Tensors.type(dtype).size;
        ByteBuffer made = Tensors.bytes(Tensors.count(shape) * size);
        long[] steps = steps(size);
        copy(axes, 0, 0, steps, size, made);
        return Tensors.rewound(made);
    }

    /** How many bytes lie between two neighbours along each axis. */
    private long[] steps(int size) {
        long[] made = new long[shape.length];
        long step = size;
        for (int axis = shape.length - 1; axis >= 0; axis--) {
            made[axis] = step;
            step *= shape[axis];
        }
        return made;
    }

    private void copy(int[] axes, int depth, long from, long[] steps, int size, ByteBuffer into) {
        if (depth == axes.length) {
            for (int place = 0; place < size; place++) {
                into.put(content.get((int) from + place));
            }
            return;
        }
        if (contiguous(axes, depth)) {
            Buffer part = content.duplicate();
            long length = depth == 0 ? Tensors.count(shape) * size : steps[depth - 1];
            part.limit((int) (from + length)).position((int) from);
            into.put((ByteBuffer) part);
            return;
        }
        for (long place = 0; place < shape[axes[depth]]; place++) {
            copy(axes, depth + 1, from + place * steps[axes[depth]], steps, size, into);
        }
    }

    /** Whether the axes from here on are the last ones in their own order. */
    private static boolean contiguous(int[] axes, int depth) {
        for (int place = depth; place < axes.length; place++) {
            if (axes[place] != place) {
                return false;
            }
        }
        return true;
    }
}
