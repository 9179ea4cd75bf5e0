package sparcl;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;

/** A learner whose folder goes from under it and comes back, and one that is closed: {@code Lost ARTIFACT STATE}. */
final class Lost {
    private static final int COUNT = 20;
    private static final int SIZE = 64;

    private Lost() {}

    private static void remove(Path folder) throws IOException {
        try (DirectoryStream<Path> found = Files.newDirectoryStream(folder)) {
            for (Path one : found) {
                Files.delete(one);
            }
        }
        Files.delete(folder);
    }

    private static void refused(Runnable call) {
        try {
            call.run();
        } catch (SparclException error) {
            System.out.println(error.getMessage().contains(": cannot be written ("));
        }
    }

    public static void main(String[] given) throws IOException {
        byte[] values = new byte[COUNT * SIZE];
        List<String> labels = new ArrayList<>();
        for (int place = 0; place < values.length; place++) {
            values[place] = (byte) (place * 37 % 100 + place / SIZE % 2 * 20);
        }
        for (int row = 0; row < COUNT; row++) {
            labels.add(row % 2 == 0 ? "a" : "b");
        }
        Samples samples = Samples.of(values, COUNT, 1, 8, 8);
        Path state = Paths.get(given[1]);
        Options options = new Options().threads(1).learningRate(0.01);
        Learner closed;
        try (Learner learner = Learner.open(Paths.get(given[0]), state, options)) {
            closed = learner;
            remove(state);
            refused(() -> learner.learn(samples, labels));
            refused(() -> learner.observe(samples.row(0), "c", new Effort().steps(0)));
            System.out.println(learner.classes() + " " + learner.isUnderWay() + " " + learner.observed());
            Files.createDirectory(state);
            System.out.println(learner.learn(samples, labels).reason + " " + learner.classes() + " " + learner.tasks());
        }
        try (Learner again = Learner.open(Paths.get(given[0]), state, options)) {
            again.observe(samples.row(0), null, new Effort());
        } catch (SparclException error) {
            System.out.println(error.getMessage());
        }
        Learner.open(Paths.get(given[0]), state, options).close();
        closed.close();
        refusedBehindClose(() -> closed.learn(samples, labels));
        refusedBehindClose(() -> closed.observe(samples.row(0), "c", new Effort().steps(0)));
        refusedBehindClose(() -> closed.predict(samples));
        refusedBehindClose(closed::save);
    }

    private static void refusedBehindClose(Runnable call) {
        try {
            call.run();
        } catch (SparclException error) {
            System.out.println(error.getMessage().contains(": this learner is closed; open it again"));
        }
    }
}
