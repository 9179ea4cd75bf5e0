package sparcl;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/** Replays a tape (tests/parity/tape.py): {@code Replay FOLDER RESULTS STEPS [KERNELS.so]}. One thread. */
final class Replay implements AutoCloseable {
    private final Map<String, OrtSession> sessions = new HashMap<>();
    private final Map<String, OnnxTensor> values = new HashMap<>();
    private final Map<String, OnnxTensor> inputs = new HashMap<>();
    private final Map<String, String> outputs = new LinkedHashMap<>();
    private final ByteBuffer bytes;
    private final String kernels;
    private final PrintWriter lines;
    private final FileChannel content;
    private String graph;

    private Replay(Path folder, Path results, String kernels) throws IOException {
        this.kernels = kernels;
        try (FileChannel file = FileChannel.open(folder.resolve("tape.bin"), StandardOpenOption.READ)) {
            bytes = file.map(FileChannel.MapMode.READ_ONLY, 0, file.size());
        }
        lines = new PrintWriter(results.resolve("results.tsv").toFile(), "UTF-8");
        StandardOpenOption[] how = {StandardOpenOption.CREATE, StandardOpenOption.WRITE};
        content = FileChannel.open(results.resolve("results.bin"), how);
    }

    private void replay(Path tape, long steps) throws IOException, OrtException {
        long done = 0;
        try (BufferedReader reader = Files.newBufferedReader(tape, StandardCharsets.UTF_8)) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                String[] parts = line.split("\t", -1);
                instruction(parts);
                if (parts[0].equals("mark") && ++done == steps) {
                    return;
                }
            }
        }
    }

    private void instruction(String[] parts) throws IOException, OrtException {
        switch (parts[0]) {
            case "graph":
                sessions.put(parts[1], open(parts[2], parts[3].equals("1")));
                return;
            case "value":
                values.put(parts[1], value(parts));
                return;
            case "join":
                values.put(parts[1], join(Arrays.copyOfRange(parts, 2, parts.length)));
                return;
            case "run":
                graph = parts[1];
                inputs.clear();
                outputs.clear();
                return;
            case "in":
                inputs.put(parts[1], values.get(parts[2]));
                return;
            case "out":
                outputs.put(parts[1], parts[2]);
                return;
            case "end":
                run();
                return;
            case "write":
                write(parts[1], values.get(parts[1]));
                return;
            default:
                return;
        }
    }

    private OrtSession open(String path, boolean withKernels) throws OrtException {
        OrtSession.SessionOptions options = new OrtSession.SessionOptions(); // closing them unloads the kernels
        options.setIntraOpNumThreads(1);
        options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
        if (withKernels) {
            options.registerCustomOpLibrary(kernels);
        }
        return OrtEnvironment.getEnvironment().createSession(path, options);
    }

    private OnnxTensor value(String[] parts) {
        long[] shape = parts[3].isEmpty()
                ? new long[0]
                : Arrays.stream(parts[3].split(",")).mapToLong(Long::parseLong).toArray();
        Buffer part = bytes.duplicate();
        int from = Integer.parseInt(parts[4]);
        part.limit(from + Integer.parseInt(parts[5])).position(from);
        ByteBuffer own = ((ByteBuffer) part).slice().order(ByteOrder.nativeOrder());
        return Tensors.over(own, parts[2], shape);
    }

    private OnnxTensor join(String[] names) {
        Number[] numbers = new Number[names.length];
        for (int place = 0; place < names.length; place++) {
            numbers[place] = Tensors.numbers(values.get(names[place]))[0];
        }
        return Tensors.of(Tensors.dtype(values.get(names[0])), numbers, new long[] {names.length});
    }

    private void run() throws OrtException {
        // Not closed: the values go on.
        for (Map.Entry<String, OnnxValue> one : sessions.get(graph).run(inputs, outputs.keySet())) {
            values.put(outputs.get(one.getKey()), (OnnxTensor) one.getValue());
        }
    }

    private void write(String name, OnnxTensor value) throws IOException {
        ByteBuffer from = Tensors.content(value);
        long[] lengths = value.getInfo().getShape();
        String shape = Arrays.stream(lengths).mapToObj(String::valueOf).collect(Collectors.joining(","));
        Object[] parts = {name, Tensors.dtype(value), shape, content.position(), from.remaining()};
        lines.print("value\t" + Arrays.stream(parts).map(String::valueOf).collect(Collectors.joining("\t")) + "\n");
        while (from.hasRemaining()) {
            content.write(from);
        }
    }

    @Override
    public void close() throws IOException {
        lines.close();
        content.close();
    }

    public static void main(String[] given) throws IOException, OrtException {
        String kernels = given.length > 3 ? given[3] : "";
        try (Replay replay = new Replay(Paths.get(given[0]), Paths.get(given[1]), kernels)) {
            replay.replay(Paths.get(given[0]).resolve("tape.tsv"), Long.parseLong(given[2]));
        }
        System.out.println(OrtEnvironment.getEnvironment().getVersion());
    }
}
