package sparcl;

import ai.onnxruntime.OnnxTensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** The parts by themselves: {@code UnitTests FOLDER}. Prints what failed; exit code 1 where something did. */
final class UnitTests {
    /** What a test does. */
    private interface Test {
        void run() throws Exception;
    }

    private static final String MORE = ", \"raw\": false, \"input_type\": \"float32\", \"rows\": null}";

    private final Path folder;
    private int failed;
    private int done;

    private UnitTests(String folder) {
        this.folder = java.nio.file.Paths.get(folder);
    }

    private void test(String name, Test test) {
        done++;
        try {
            test.run();
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println(name + ": " + error);
        }
    }

    private static void equal(Object found, Object wanted) {
        if (!wanted.equals(found)) {
            throw new AssertionError(found + ", wanted " + wanted);
        }
    }

    private static void refused(String message, Test test) throws Exception {
        try {
            test.run();
        } catch (SparclException | IllegalArgumentException error) {
            if (!String.valueOf(error.getMessage()).contains(message) || error.getMessage().contains("\n")) {
                throw new AssertionError(error.getMessage() + ", wanted " + message);
            }
            return;
        }
        throw new AssertionError("was not refused, wanted " + message);
    }

    private void json() {
        String text = "{\"a\": [1, -2.5, true, null], \"b\": {\"c\": \"x\\u00e9\\n\\\"\\\\\"}, \"d\": [], \"e\": {}}";
        test("a text is read and written as it was", () -> equal(Json.parse(text).toString(), text));
        test("spaces do not matter", () -> equal(Json.parse(" [ 1 ,\t2 ]\n").toString(), "[1, 2]"));
        test("letters beyond ASCII are escaped", () -> equal(
                Json.of("\u00fc\ud83d\ude00").toString(),
                "\"\\u00fc\\ud83d\\ude00\""));
        test("an integer is no fraction", () -> equal(Json.parse("3").plain, 3L));
        test("an exponent is one", () -> equal(Json.parse("1e-3").number(), 0.001));
        test("Python's NaN is read", () -> equal(Json.parse("NaN").number(), Double.NaN));
        test("a name that is not there is null", () -> equal(Json.parse("{}").get("a").isNull(), true));
        test("escapes are read", () -> equal(Json.parse("\"\\u0041\\/\\t\"").text(), "A/\t"));
        for (String broken : new String[] {
            "", "{", "[1", "[1 2]", "{\"a\" 1}", "{1: 2}", "tru", "01x", "\"a", "\"\\x\"", "1 2", "+1", "--1", "1.",
            "[1,]",
            "\"\\u12", "-", "{\"a\": }", String.join("", Collections.nCopies(300, "[")),
        }) {
            test("no JSON: " + broken, () -> refused("", () -> Json.parse(broken)));
        }
        test("a value of another kind", () -> refused("is not what it must be: 1", () -> Json.parse("1").text()));
    }

    private void safetensors() throws IOException {
        Path path = folder.resolve("t.safetensors");
        Map<String, OnnxTensor> tensors = new LinkedHashMap<>();
        tensors.put("a", Tensors.of("uint8", new Number[] {1, 255, 3}, new long[] {3}));
        tensors.put("b", Tensors.of("float64", new Number[] {1.5}, new long[0]));
        tensors.put("c", Tensors.of("float32", new Number[0], new long[] {0, 2}));
        tensors.put("d", Tensors.of("bool", new Number[] {1, 0}, new long[] {2, 1}));
        test("tensors are read as they were written", () -> {
            write(path, tensors);
            Safetensors found = Safetensors.read(path);
            equal(found.isSound(), true);
            equal(found.metadata.get("name"), "\u00e4");
            equal(Arrays.toString(Tensors.numbers(found.entries.get("a").tensor())), "[1, 255, 3]");
            equal(Arrays.toString(Tensors.numbers(found.entries.get("b").readOnly())), "[1.5]");
            equal(Arrays.toString(found.entries.get("c").shape), "[0, 2]");
            equal(found.entries.get("d").dtype, "bool");
        });
        test("a changed byte is noticed", () -> {
            byte[] content = Files.readAllBytes(path);
            for (int place : new int[] {20, content.length - 1}) {
                byte[] other = content.clone();
                other[place] ^= 1;
                equal(sound(other), false);
            }
        });
        test("a cut file is refused", () -> {
            byte[] content = Files.readAllBytes(path);
            for (int length : new int[] {0, 7, 30, content.length - 1}) {
                refused("", () -> read(Arrays.copyOf(content, length)));
            }
        });
        test("bytes beyond the end are refused", () -> refused("behind its end", () -> read(header(
                "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [4, 8]}}", 4))));
        test("bytes that do not fit the shape are refused", () -> refused("other bytes", () -> read(header(
                "{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 4]}}", 4))));
        test("a type of another kind is refused", () -> refused("type of elements", () -> read(header(
                "{\"a\": {\"dtype\": \"F16\", \"shape\": [2], \"data_offsets\": [0, 4]}}", 4))));
    }

    private static void write(Path path, Map<String, OnnxTensor> tensors) throws IOException {
        java.nio.file.OpenOption[] how = {
            java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.WRITE,
        };
        try (java.nio.channels.FileChannel file = java.nio.channels.FileChannel.open(path, how)) {
            Safetensors.write(file, tensors, Collections.singletonMap("name", "\u00e4"));
        }
    }

    private boolean sound(byte[] content) throws IOException {
        try {
            return read(content).isSound();
        } catch (IllegalArgumentException error) {
            return false;
        }
    }

    private Safetensors read(byte[] content) throws IOException {
        return Safetensors.read(Files.write(folder.resolve("other.safetensors"), content));
    }

    private static byte[] header(String json, int more) {
        byte[] text = json.getBytes(StandardCharsets.US_ASCII);
        ByteBuffer made = ByteBuffer.allocate(8 + text.length + more).order(java.nio.ByteOrder.LITTLE_ENDIAN);
        made.putLong(text.length).put(text);
        return made.array();
    }

    private void locks() {
        test("two learners on one folder are refused, and the holder is named", () -> {
            Lock lock = new Lock(folder);
            refused(": is in use by java sparcl.UnitTests (process ", () -> new Lock(folder));
            lock.close();
            new Lock(folder).close();
            equal(Files.exists(folder.resolve(".lock")), false);
        });
        test("a dead process holds nothing", () -> left("4194305 " + host() + " 2026-11-29T04:30:00 java app"));
        test("a file that names nobody holds nothing", () -> left("?"));
        test("an empty file holds nothing", () -> left(""));
        test("another host's lock holds", () -> {
            Files.write(folder.resolve(".lock"), "1 elsewhere 2026-11-29T04:30:00 node app.js\n".getBytes("UTF-8"));
            String name = "is in use by node app.js (process 1 on elsewhere, since 2026-11-29T04:30:00)";
            refused(name, () -> new Lock(folder));
            Files.delete(folder.resolve(".lock"));
        });
        test("a living process holds", () -> {
            Files.write(folder.resolve(".lock"), ("1 " + host() + " now init\n").getBytes("UTF-8"));
            refused("is in use by init (process 1 on ", () -> new Lock(folder));
            Files.delete(folder.resolve(".lock"));
        });
    }

    private void left(String line) throws IOException {
        Files.write(folder.resolve(".lock"), (line + "\n").getBytes(StandardCharsets.UTF_8));
        new Lock(folder).close();
    }

    private static String host() throws IOException {
        Path name = java.nio.file.Paths.get("/proc/sys/kernel/hostname");
        return new String(Files.readAllBytes(name), StandardCharsets.UTF_8).trim();
    }

    private void forms() {
        byte[] six = {1, 2, 3, 4, 5, 6};
        test("channels last", () -> equal(
                form("NCHW", "[3, 1, 2]", Samples.of(six, 1, 1, 2, 3)),
                "[3, 1, 2] [1, 4, 2, 5, 3, 6]"));
        test("channels first", () -> equal(
                form("NCHW", "[3, 1, 2]", Samples.of(six, 1, 3, 1, 2)),
                "[3, 1, 2] [1, 2, 3, 4, 5, 6]"));
        test("grey images", () -> equal(
                form("NHWC", "[2, 3, 1]", Samples.of(six, 1, 2, 3)),
                "[1, 2, 3] [1, 2, 3, 4, 5, 6]"));
        test("vectors", () -> equal(form("flat", "[3]", Samples.of(six, 2, 3)), "[3, 1, 1] [1, 2, 3, 4, 5, 6]"));
        test("sequences", () -> equal(form("NCT", "[2, 3]", Samples.of(six, 1, 2, 3)), "[2, 3, 1] [1, 2, 3, 4, 5, 6]"));
        test("steps first", () -> equal(
                form("NTC", "[3, 2]", Samples.of(six, 1, 3, 2)),
                "[2, 3, 1] [1, 3, 5, 2, 4, 6]"));
        test("volumes", () -> equal(
                form("NDHWC", "[1, 3, 1, 2]", Samples.of(six, 1, 1, 3, 1, 2)),
                "[2, 3, 1] [1, 3, 5, 2, 4, 6]"));
    }

    private void otherForms() {
        byte[] six = {1, 2, 3, 4, 5, 6};
        test("floats keep their bytes together", () -> {
            Samples given = Samples.of(new float[] {1, 2, 3, 4}, 1, 1, 2, 2);
            ByteBuffer found = given.transposed(new int[] {0, 3, 1, 2});
            float[] made = new float[4];
            found.asFloatBuffer().get(made);
            equal(Arrays.toString(made), "[1.0, 3.0, 2.0, 4.0]");
        });
        test("images of another size are resized", () -> equal(
                form("NCHW", "[1, 4, 4]", Samples.of(six, 1, 2, 3)),
                "[1, 4, 4] resized [1, 1, 2, 3]"));
        test("no number", () -> refused("hold NaN; give finite", () -> form(
                "flat", "[2]", Samples.of(new float[] {1, Float.NaN}, 1, 2))));
        test("a list of images", () -> {
            Samples list = Samples.of(Arrays.asList(Samples.of(six, 1, 2, 3), Samples.of(six, 1, 2, 3)));
            equal(form("NCHW", "[1, 2, 3]", list), "[1, 2, 3] [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]");
        });
        test("other channels", () -> refused(
                "[2, 3, 1], and the model takes [3, 2, 3] as NCHW",
                () -> form("NCHW", "[3, 2, 3]", Samples.of(six, 1, 2, 3, 1))));
        test("another length", () -> refused(
                "[3], and the model takes [4] as flat",
                () -> form("flat", "[4]", Samples.of(six, 2, 3))));
        test("a shape of another size", () -> refused(
                "6 numbers do not make the shape [2, 4]",
                () -> Samples.of(six, 2, 4)));
        test("one of several", () -> equal(
                form("flat", "[3]", Samples.of(six, 2, 3).row(1)), "[3, 1, 1] [4, 5, 6]"));
        test("none of several", () -> refused("there are 2 samples", () -> Samples.of(six, 2, 3).row(2)));
        test("several in one", () -> refused(
                "a list has one image",
                () -> Samples.of(Arrays.asList(Samples.of(six, 2, 3, 1)))));
    }

    private static String form(String layout, String shape, Samples given) {
        String[] resized = {""};
        Json model = Json.parse("{\"layout\": \"" + layout + "\", \"input_shape\": " + shape + MORE);
        Form form = new Form(model, (images, dtype, from) -> {
            resized[0] = " resized " + Arrays.toString(from);
            return Tensors.bytes(16);
        });
        Rows rows = form.rows(given);
        byte[] found = new byte[rows.raw.remaining()];
        rows.raw.duplicate().get(found);
        return Arrays.toString(rows.shape) + (resized[0].isEmpty() ? " " + Arrays.toString(found) : resized[0]);
    }

    private void refusals() {
        test("a budget below 1", () -> refused("`epochs` 0: give at least 1", () -> new Effort().epochs(0)));
        test("no augmentation", () -> refused("give one of auto, none, ", () -> new Options().augment("flip")));
        test("no seed", () -> refused("`seed` -1: give at least 0", () -> new Options().seed(-1)));
        test("no batch", () -> refused("`batch` 0: give at least 1", () -> new Options().batch(0)));
        test("no learning rate", () -> refused(
                "`learningRate` NaN: give",
                () -> new Options().learningRate(Double.NaN)));
        test("no artifact", () -> refused("is no whole artifact (no manifest.json)", () -> new Artifact(folder)));
    }

    public static void main(String[] given) throws IOException {
        UnitTests tests = new UnitTests(given[0]);
        tests.json();
        tests.safetensors();
        tests.locks();
        tests.forms();
        tests.otherForms();
        tests.refusals();
        System.out.println(tests.done + " tests, " + tests.failed + " failed");
        System.exit(tests.failed == 0 ? 0 : 1);
    }
}
