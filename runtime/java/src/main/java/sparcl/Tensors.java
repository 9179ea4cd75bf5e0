package sparcl;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;

/** Tensors of ONNX Runtime over bytes: made, read and copied. Their bytes are little-endian, in C order. */
final class Tensors {
    private static final Map<String, OnnxJavaType> TYPES = new HashMap<>();

    static {
        TYPES.put("float32", OnnxJavaType.FLOAT);
        TYPES.put("float64", OnnxJavaType.DOUBLE);
        TYPES.put("int32", OnnxJavaType.INT32);
        TYPES.put("int64", OnnxJavaType.INT64);
        TYPES.put("uint8", OnnxJavaType.UINT8);
        TYPES.put("bool", OnnxJavaType.BOOL);
    }

    private Tensors() {}

    static OnnxJavaType type(String dtype) {
        OnnxJavaType found = TYPES.get(dtype);
        if (found == null) {
            throw new IllegalArgumentException("a type of elements that no artifact has: " + dtype);
        }
        return found;
    }

    static String dtype(OnnxTensor tensor) {
        for (Map.Entry<String, OnnxJavaType> entry : TYPES.entrySet()) {
            if (entry.getValue() == tensor.getInfo().type) {
                return entry.getKey();
            }
        }
        throw new IllegalArgumentException("a type of elements that no artifact has: " + tensor.getInfo().type);
    }

    static long count(long[] shape) {
        long made = 1;
        for (long length : shape) {
            made = Math.multiplyExact(made, length);
        }
        return made;
    }

    /** Zeros for so many bytes. */
    static ByteBuffer bytes(long count) {
        return ByteBuffer.allocateDirect(Math.toIntExact(count)).order(ByteOrder.nativeOrder());
    }

    /** How many bytes a tensor has. */
    static long size(OnnxTensor tensor) {
        return count(tensor.getInfo().getShape()) * tensor.getInfo().type.size;
    }

    /** A tensor whose memory is this direct buffer, from its position to its limit. */
    static OnnxTensor over(ByteBuffer bytes, String dtype, long[] shape) {
        try {
            return OnnxTensor.createTensor(OrtEnvironment.getEnvironment(), bytes, shape, type(dtype));
        } catch (OrtException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Ones, NaN and the like; 0 costs nothing until it is written. */
    static OnnxTensor filled(String dtype, long[] shape, double value) {
        long count = count(shape);
        ByteBuffer made = bytes(count * type(dtype).size);
        for (long number = 0; value != 0 && number < count; number++) {
            put(made, dtype, value);
        }
        return over(rewound(made), dtype, shape);
    }

    static OnnxTensor of(String dtype, Number[] numbers, long[] shape) {
        ByteBuffer made = bytes((long) numbers.length * type(dtype).size);
        for (Number number : numbers) {
            put(made, dtype, number);
        }
        return over(rewound(made), dtype, shape);
    }

    static OnnxTensor of(long... numbers) {
        ByteBuffer made = bytes(numbers.length * (long) Long.BYTES);
        made.asLongBuffer().put(numbers);
        return over(made, "int64", new long[] {numbers.length});
    }

    private static void put(ByteBuffer into, String dtype, Number number) {
        switch (dtype) {
            case "float32":
                into.putFloat(number.floatValue());
                return;
            case "float64":
                into.putDouble(number.doubleValue());
                return;
            case "int32":
                into.putInt(number.intValue());
                return;
            case "int64":
                into.putLong(number.longValue());
                return;
            default:
                into.put(number.byteValue());
        }
    }

    /** The elements as Long or Double; true is 1. */
    static Number[] numbers(OnnxTensor tensor) {
        ByteBuffer from = content(tensor);
        String dtype = dtype(tensor);
        Number[] made = new Number[Math.toIntExact(count(tensor.getInfo().getShape()))];
        for (int place = 0; place < made.length; place++) {
            made[place] = next(from, dtype);
        }
        return made;
    }

    private static Number next(ByteBuffer from, String dtype) {
        switch (dtype) {
            case "float32":
                return (double) from.getFloat();
            case "float64":
                return from.getDouble();
            case "int32":
                return (long) from.getInt();
            case "int64":
                return from.getLong();
            default:
                return (long) (from.get() & 0xff);
        }
    }

    static long[] integers(OnnxTensor tensor) {
        long[] made = new long[Math.toIntExact(count(tensor.getInfo().getShape()))];
        content(tensor).asLongBuffer().get(made);
        return made;
    }

    /** A copy of the bytes; ONNX Runtime shows no tensor's own memory. */
    static ByteBuffer content(OnnxTensor tensor) {
        return tensor.getByteBuffer().order(ByteOrder.nativeOrder());
    }

    static OnnxTensor copy(OnnxTensor tensor) {
        ByteBuffer from = content(tensor);
        ByteBuffer made = bytes(from.remaining());
        made.put(from);
        return over(rewound(made), dtype(tensor), tensor.getInfo().getShape());
    }

    /** The buffer from its beginning. The cast is for Java 8, whose ByteBuffer has no rewind of its own. */
    static ByteBuffer rewound(ByteBuffer buffer) {
        ((Buffer) buffer).rewind();
        return buffer;
    }
}
