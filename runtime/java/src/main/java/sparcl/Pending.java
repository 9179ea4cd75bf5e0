package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The observed samples that wait for a task, each of them safe on disk. */
final class Pending {
    private final Folder folder;
    private final List<Rows> rows = new ArrayList<>();
    private final List<String> labels = new ArrayList<>();
    private long first;

    Pending(Folder folder) {
        this.folder = folder;
    }

    boolean isEmpty() {
        return rows.isEmpty();
    }

    int count() {
        return rows.size();
    }

    Rows first() {
        return rows.get(0);
    }

    /** The classes of the samples, in the order of their arrival. */
    Set<String> names() {
        return new LinkedHashSet<>(labels);
    }

    /** Keeps a sample. */
    void add(Rows one, String label) {
        rows.add(one);
        labels.add(label);
        try {
            write();
        } catch (SparclException error) {
            rows.remove(rows.size() - 1);
            labels.remove(labels.size() - 1);
            throw error;
        }
    }

    /** All samples, with the places of their classes. */
    Rows joined(State state) {
        ByteBuffer whole = Tensors.bytes((long) rows.size() * first().raw.capacity());
        long[] places = new long[rows.size()];
        for (int row = 0; row < places.length; row++) {
            whole.put(rows.get(row).raw.duplicate());
            places[row] = state.place(labels.get(row));
        }
        return new Rows(Tensors.rewound(whole), first().dtype, first().shape, places);
    }

    /** Forgets the samples that a task has taken over, and those only. */
    void drop(int count) {
        rows.subList(0, count).clear();
        labels.subList(0, count).clear();
        first += count;
        write();
    }

    private void write() {
        if (rows.isEmpty()) {
            folder.remove(Folder.PENDING);
            return;
        }
        List<String> names = new ArrayList<>(names());
        long[] places = new long[rows.size()];
        ByteBuffer whole = Tensors.bytes((long) rows.size() * first().raw.capacity());
        for (int row = 0; row < places.length; row++) {
            whole.put(rows.get(row).raw.duplicate());
            places[row] = names.indexOf(labels.get(row));
        }
        Map<String, OnnxTensor> tensors = new LinkedHashMap<>();
        tensors.put("x", new Rows(Tensors.rewound(whole), first().dtype, first().shape, places).tensor());
        tensors.put("labels", Tensors.of(places));
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("names", Json.of(names).toString());
        texts.put("first", String.valueOf(first));
        folder.write(Folder.PENDING, tensors, texts);
        tensors.values().forEach(OnnxTensor::close);
    }

    /** Reads the folder; {@code taken} samples belong to tasks already. */
    void load(long taken) {
        rows.clear();
        labels.clear();
        first = taken;
        Safetensors file = folder.read(Folder.PENDING);
        if (file == null) {
            return;
        }
        Rows found = rows(file);
        List<String> names = Json.parse(file.metadata.get("names")).texts();
        long number = Long.parseLong(file.metadata.get("first"));
        int size = found.raw.remaining() / Math.max(1, found.labels.length);
        for (int row = (int) Math.max(0, taken - number); row < found.labels.length; row++) {
            byte[] own = new byte[size];
            ByteBuffer from = found.raw.duplicate();
            ((java.nio.Buffer) from).position(row * size);
            from.get(own);
            ByteBuffer made = Tensors.bytes(size);
            made.put(own);
            rows.add(new Rows(Tensors.rewound(made), found.dtype, found.shape, new long[1]));
            labels.add(names.get((int) found.labels[row]));
        }
    }

    /** The samples of a file, with their labels as it has them. */
    static Rows rows(Safetensors file) {
        Safetensors.Entry x = file.entries.get("x");
        OnnxTensor labels = file.entries.get("labels").tensor();
        Rows made = new Rows(x.bytes(), x.dtype, Arrays.copyOfRange(x.shape, 1, 4), Tensors.integers(labels));
        labels.close();
        return made;
    }
}
