package sparcl;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a learner costs, as JSON, for benchmarks/drivers.py: {@code Cost ARTIFACT SAMPLES EPOCHS STATE BEGAN}.
 *
 * <p>Milliseconds since BEGAN (of the epoch, when the process was started) until a learner is open, of the first step,
 * and of a step in the middle; the processor time of a step; the largest memory of the process.
 */
final class Cost {
    private static final double NANOSECONDS = 1e-6;
    private static final double KILOBYTES = 1024;
    /** Of a tick, as Linux counts a process's time. */
    private static final double MILLISECONDS = 10;
    private static final int USER = 11;

    private Cost() {}

    public static void main(String[] given) throws IOException {
        Map<String, Safetensors.Entry> data = Safetensors.read(Paths.get(given[1])).entries;
        Safetensors.Entry x = data.get("x");
        byte[] pixels = new byte[x.bytes().remaining()];
        x.bytes().get(pixels);
        Samples samples = Samples.of(pixels, x.shape);
        List<String> labels = new ArrayList<>();
        for (long label : Tensors.integers(data.get("labels").tensor())) {
            labels.add(String.valueOf(label));
        }
        Options options = new Options().threads(1).batch(32);
        Map<String, Object> made = new LinkedHashMap<>();
        try (Learner learner = Learner.open(Paths.get(given[0]), Paths.get(given[3]), options)) {
            made.put("start", System.currentTimeMillis() - Double.parseDouble(given[4]));
            long[] busy = new long[1];
            List<Double> steps = steps(learner, samples, labels, Long.parseLong(given[2]), busy);
            made.put("first", steps.remove(0));
            made.put("busy", (ticks() - busy[0]) * MILLISECONDS / steps.size());
            Collections.sort(steps);
            made.put("step", steps.get(steps.size() / 2));
        }
        made.put("memory", peak());
        System.out.println(Json.of(made));
    }

    /** Milliseconds of each step of a task; {@code busy} gets the ticks of the processor behind the first one. */
    private static List<Double> steps(
            Learner learner, Samples samples, List<String> labels, long epochs, long[] busy) {
        List<Double> made = new ArrayList<>();
        long[] before = {System.nanoTime()};
        learner.learn(samples, labels, new Effort().epochs(epochs).listener(step -> {
            long now = System.nanoTime();
            made.add((now - before[0]) * NANOSECONDS);
            busy[0] = made.size() == 1 ? ticks() : busy[0];
            before[0] = now;
            return true;
        }));
        return made;
    }

    /** How long all threads of this process were on a processor, in ticks. */
    private static long ticks() {
        try {
            byte[] stat = Files.readAllBytes(Paths.get("/proc/self/stat"));
            String[] fields = new String(stat, StandardCharsets.UTF_8).replaceFirst(".*\\) ", "").split(" ");
            return Long.parseLong(fields[USER]) + Long.parseLong(fields[USER + 1]);
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    /** The largest memory that this process has had, in MB. */
    private static double peak() throws IOException {
        Path status = Paths.get("/proc/self/status");
        for (String line : Files.readAllLines(status, StandardCharsets.UTF_8)) {
            if (line.startsWith("VmHWM:")) {
                return Double.parseDouble(line.replaceAll("[^0-9]", "")) / KILOBYTES;
            }
        }
        return Double.NaN;
    }
}
