package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.io.IOException;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A safetensors file: eight bytes with the length of a JSON header, the header, and the bytes of the tensors.
 *
 * <p>Source: the format's description in its repository, huggingface/safetensors.
 */
final class Safetensors {
    private static final int LENGTH = 8;
    private static final String METADATA = "__metadata__";
    private static final String SUM = "\"sha256\":\"";
    private static final String NO_SUM = new String(new char[64]).replace('\0', '0');
    private static final String[][] NAMES = {
        {"F32", "float32"}, {"F64", "float64"}, {"I32", "int32"}, {"I64", "int64"}, {"U8", "uint8"}, {"BOOL", "bool"},
    };

    /** A tensor of a file: its type, its shape and its bytes, mapped and not read. */
    static final class Entry {
        final String dtype;
        final long[] shape;
        private final ByteBuffer mapped;

        Entry(String dtype, long[] shape, ByteBuffer mapped) {
            this.dtype = dtype;
            this.shape = shape;
            this.mapped = mapped;
        }

        ByteBuffer bytes() {
            return mapped.slice().order(ByteOrder.nativeOrder());
        }

        /** A tensor in memory of its own. */
        OnnxTensor tensor() {
            ByteBuffer made = Tensors.bytes(mapped.remaining());
            made.put(bytes());
            return Tensors.over(Tensors.rewound(made), dtype, shape);
        }

        /** A tensor over the file's own pages, for what nothing writes to. */
        OnnxTensor readOnly() {
            return Tensors.over(bytes(), dtype, shape);
        }
    }

    final Map<String, Entry> entries = new LinkedHashMap<>();
    final Map<String, String> metadata = new HashMap<>();

    /** Reads a file; throws IllegalArgumentException where it is none. */
    static Safetensors read(Path path) throws IOException {
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ)) {
            return new Safetensors(file.map(FileChannel.MapMode.READ_ONLY, 0, file.size()));
        }
    }

    private final ByteBuffer whole;
    private final int begin;

    private Safetensors(ByteBuffer whole) {
        this.whole = whole;
        whole.order(ByteOrder.LITTLE_ENDIAN);
        long length = whole.limit() < LENGTH ? -1 : whole.getLong(0);
        if (length < 0 || length > whole.limit() - LENGTH) {
            throw new IllegalArgumentException("its header is cut off");
        }
        begin = LENGTH + (int) length;
        byte[] header = bytes(LENGTH, begin);
        Json found = Json.parse(new String(header, StandardCharsets.UTF_8));
        for (String name : found.get(METADATA).names()) {
            metadata.put(name, found.get(METADATA).get(name).text());
        }
        for (String name : found.names()) {
            if (!name.equals(METADATA)) {
                entries.put(name, entry(found.get(name)));
            }
        }
    }

    private Entry entry(Json about) {
        String dtype = renamed(about.get("dtype").text(), 0, 1);
        long[] shape = about.get("shape").integers();
        long[] offsets = about.get("data_offsets").integers();
        if (offsets[1] - offsets[0] != Tensors.count(shape) * Tensors.type(dtype).size) {
            throw new IllegalArgumentException("a tensor has other bytes than its shape says");
        }
        return new Entry(dtype, shape, part(whole, begin + offsets[0], begin + offsets[1]));
    }

    private static ByteBuffer part(ByteBuffer whole, long from, long to) {
        if (from < 0 || to < from || to > whole.limit()) {
            throw new IllegalArgumentException("a tensor lies behind its end");
        }
        Buffer made = whole.duplicate();
        made.limit((int) to).position((int) from);
        return (ByteBuffer) made;
    }

    private static String renamed(String name, int from, int to) {
        for (String[] row : NAMES) {
            if (row[from].equals(name)) {
                return row[to];
            }
        }
        throw new IllegalArgumentException("a type of elements that no artifact has: " + name);
    }

    /**
     * Writes a file whose metadata have its checksum: of the whole file in which the checksum's digits are 0.
     *
     * @return the checksum
     */
    static String write(FileChannel file, Map<String, OnnxTensor> tensors, Map<String, String> metadata)
            throws IOException {
        List<Map.Entry<String, OnnxTensor>> ordered = aligned(tensors);
        StringBuilder text = new StringBuilder("{" + Json.of(METADATA) + ": {");
        for (Map.Entry<String, String> one : metadata.entrySet()) {
            text.append(Json.of(one.getKey())).append(": ").append(Json.of(one.getValue())).append(", ");
        }
        int digits = LENGTH + text.append(SUM).length();
        text.append(NO_SUM).append("\"}");
        long end = 0;
        for (Map.Entry<String, OnnxTensor> one : ordered) {
            long from = end;
            end += Tensors.size(one.getValue());
            text.append(", ").append(Json.of(one.getKey())).append(": ");
            text.append(Json.of(about(one.getValue(), from, end)));
        }
        text.append('}');
        while (text.length() % LENGTH != 0) {
            text.append(' ');
        }
        MessageDigest digest = Artifact.sha256();
        ByteBuffer length = ByteBuffer.allocate(LENGTH).order(ByteOrder.LITTLE_ENDIAN);
        length.putLong(0, text.length());
        put(file, length, digest);
        put(file, ByteBuffer.wrap(text.toString().getBytes(StandardCharsets.US_ASCII)), digest);
        for (Map.Entry<String, OnnxTensor> one : ordered) {
            put(file, Tensors.content(one.getValue()), digest);
        }
        String sum = Artifact.hex(digest.digest());
        file.write(ByteBuffer.wrap(sum.getBytes(StandardCharsets.US_ASCII)), digits);
        return sum;
    }

    /** Whether the file has the checksum that it names. */
    boolean isSound() {
        String header = new String(bytes(0, begin), StandardCharsets.ISO_8859_1);
        int digits = header.indexOf(SUM) + SUM.length();
        if (!header.contains(SUM) || digits + NO_SUM.length() > header.length()) {
            return false;
        }
        MessageDigest digest = Artifact.sha256();
        digest.update(bytes(0, digits));
        digest.update(NO_SUM.getBytes(StandardCharsets.US_ASCII));
        digest.update(part(whole, digits + NO_SUM.length(), whole.limit()));
        return Artifact.hex(digest.digest()).equals(header.substring(digits, digits + NO_SUM.length()));
    }

    private byte[] bytes(int from, int to) {
        byte[] made = new byte[to - from];
        part(whole, from, to).get(made);
        return made;
    }

    /** The tensors, those with the largest elements first: each lies at a multiple of its elements' size. */
    private static List<Map.Entry<String, OnnxTensor>> aligned(Map<String, OnnxTensor> tensors) {
        List<Map.Entry<String, OnnxTensor>> made = new ArrayList<>(tensors.entrySet());
        made.sort((one, other) -> other.getValue().getInfo().type.size - one.getValue().getInfo().type.size);
        return made;
    }

    private static Map<String, Object> about(OnnxTensor tensor, long from, long to) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("dtype", renamed(Tensors.dtype(tensor), 1, 0));
        made.put("shape", Numbers.list(tensor.getInfo().getShape()));
        made.put("data_offsets", Numbers.list(from, to));
        return made;
    }

    private static void put(FileChannel file, ByteBuffer content, MessageDigest digest) throws IOException {
        digest.update(content.duplicate());
        while (content.hasRemaining()) {
            file.write(content);
        }
    }
}
