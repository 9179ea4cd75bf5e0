package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/** Raw samples [N, C, H, W] with the places of their classes. */
final class Rows {
    final String dtype;
    /** The lengths C, H and W. */
    final long[] shape;

    final long[] labels;
    final ByteBuffer raw;

    private final int size;

    /** Samples over their bytes, which stay the caller's to keep unchanged. */
    Rows(ByteBuffer raw, String dtype, long[] shape, long[] labels) {
        this.raw = raw;
        this.dtype = dtype;
        this.shape = shape;
        this.labels = labels;
        size = Math.toIntExact(Tensors.count(shape) * Tensors.type(dtype).size);
    }

    int count() {
        return labels.length;
    }

    /** The labels that occur, ascending. */
    long[] classes() {
        return Arrays.stream(labels).distinct().sorted().toArray();
    }

    /** All of them as one tensor, over their own memory. */
    OnnxTensor tensor() {
        return Tensors.over(raw, dtype, new long[] {labels.length, shape[0], shape[1], shape[2]});
    }

    /** The table of all samples. */
    Table all(long[] classes) {
        return new Table(IntStream.range(0, labels.length).toArray(), classes);
    }

    /** The table of the samples of some classes, in order. */
    Table of(long[] classes) {
        IntStream all = IntStream.range(0, labels.length);
        int[] rows = all.filter(row -> LongStream.of(classes).anyMatch(one -> one == labels[row])).toArray();
        return new Table(rows, classes);
    }

    /** Some of the samples, with the classes that count there. */
    final class Table {
        final long[] classes;
        private final int[] rows;

        private Table(int[] rows, long[] classes) {
            this.rows = rows;
            this.classes = classes;
        }

        int count() {
            return rows.length;
        }

        /** The numbers of so many rows in order. */
        long[] numbers(int from, int count) {
            return LongStream.range(from, from + count).toArray();
        }

        /** The raw samples of these rows of the table. */
        OnnxTensor raw(long[] numbers) {
            ByteBuffer made = Tensors.bytes((long) numbers.length * size);
            for (long number : numbers) {
                Buffer one = raw.duplicate();
                int at = rows[(int) number] * size;
                one.limit(at + size).position(at);
                made.put((ByteBuffer) one);
            }
            long[] lengths = {numbers.length, shape[0], shape[1], shape[2]};
            return Tensors.over(Tensors.rewound(made), dtype, lengths);
        }

        /** Their labels. */
        OnnxTensor labels(long[] numbers) {
            return Tensors.of(LongStream.of(numbers).map(number -> labels[rows[(int) number]]).toArray());
        }
    }
}
