package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;

/**
 * The named values of a program.
 *
 * <p>A value is a number ({@code Long} or {@code Double}), a vector ({@code long[]}) or a tensor, which it owns.
 */
class Values implements AutoCloseable {
    private final Map<String, Object> values = new HashMap<>();

    final boolean has(String name) {
        return values.containsKey(name);
    }

    /** Gives a value; a tensor that had the name goes. */
    final void put(String name, Object value) {
        Object old = values.put(name, value);
        if (old instanceof OnnxTensor && old != value) {
            ((OnnxTensor) old).close();
        }
    }

    final Object value(String name) {
        Object found = values.get(name);
        if (found == null) {
            throw new IllegalStateException("the program reads " + name + ", which nothing has given");
        }
        return found;
    }

    /** The number, or the one element, of this name. */
    final Number number(String name) {
        Object found = value(name);
        return found instanceof OnnxTensor ? Tensors.numbers((OnnxTensor) found)[0] : (Number) found;
    }

    final long integer(String name) {
        return number(name).longValue();
    }

    /** The vector of integers of this name. */
    final long[] integers(String name) {
        Object found = value(name);
        return found instanceof OnnxTensor ? Tensors.integers((OnnxTensor) found) : (long[]) found;
    }

    /** The elements of the tensor of this name. */
    final Number[] numbers(String name) {
        return Tensors.numbers((OnnxTensor) value(name));
    }

    /** The bytes of the tensor of this name. */
    final ByteBuffer content(String name) {
        return Tensors.content((OnnxTensor) value(name));
    }

    /** A copy of a value as a tensor; an integer has no axes. */
    final OnnxTensor copy(String name) {
        Object found = value(name);
        if (found instanceof OnnxTensor) {
            return Tensors.copy((OnnxTensor) found);
        }
        return found instanceof long[]
                ? Tensors.of((long[]) found)
                : Tensors.of("int64", new Number[] {(Number) found}, new long[0]);
    }

    /** Gives rows of a table as values. */
    final void give(String prefix, Rows.Table table, long[] numbers) {
        put(prefix + ".raw", table.raw(numbers));
        put(prefix + ".labels", table.labels(numbers));
        put(prefix + ".classes", table.classes);
    }

    /** The number of rows of a tensor or of a vector. */
    final long length(String name) {
        Object found = value(name);
        return found instanceof OnnxTensor ? ((OnnxTensor) found).getInfo().getShape()[0] : ((long[]) found).length;
    }

    /** Gives the values' memory back. */
    @Override
    public void close() {
        for (Object one : values.values()) {
            if (one instanceof OnnxTensor) {
                ((OnnxTensor) one).close();
            }
        }
        values.clear();
    }
}
