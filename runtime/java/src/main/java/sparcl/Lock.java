package sparcl;

import java.io.IOException;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;

/** The lock of a state folder, a file that names its holder (docs/learner.md). */
final class Lock implements AutoCloseable {
    static final String FILE = ".lock";
    private static final int TRIES = 20;
    private static final Path PROC = Paths.get("/proc");

    /** The locks of this process: one that names this process and is not here is left by another one of its number. */
    private static final Set<Path> HELD = new HashSet<>();

    private final Path path;

    /** Takes the lock; throws SparclException where another learner has it. */
    Lock(Path folder) throws IOException {
        path = folder.toRealPath().resolve(FILE);
        String holder = "";
        for (int attempt = 0; attempt < TRIES; attempt++) {
            if (taken()) {
                return;
            }
            holder = holder();
            if (!holder.isEmpty()) {
                break;
            }
            Files.deleteIfExists(path);
        }
        String line = "%s: is in use by %s; wait for its end, or give another folder as state, %s";
        String mend = "or remove " + path + " where that is no learner";
        throw new SparclException(String.format(line, folder, holder, mend));
    }

    private boolean taken() throws IOException {
        synchronized (HELD) {
            try {
                String since = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss", Locale.ROOT).format(new Date());
                String line = process() + " " + host() + " " + since + " " + program() + "\n";
                Files.write(path, line.getBytes(StandardCharsets.UTF_8), StandardOpenOption.CREATE_NEW);
            } catch (FileAlreadyExistsException error) {
                return false;
            }
            return HELD.add(path);
        }
    }

    /** The living process that holds the lock, as the message names it; empty where there is none. */
    private String holder() throws IOException {
        String[] parts;
        try {
            parts = new String(Files.readAllBytes(path), StandardCharsets.UTF_8).trim().split("\\s+", 4);
        } catch (NoSuchFileException error) {
            return "";
        }
        boolean lives = parts.length == 4 && (!parts[1].equals(host()) || lives(parts[0]));
        return lives ? parts[3] + " (process " + parts[0] + " on " + parts[1] + ", since " + parts[2] + ")" : "";
    }

    private boolean lives(String process) throws IOException {
        if (process.equals(process())) {
            synchronized (HELD) {
                return HELD.contains(path);
            }
        }
        // Where no /proc tells it, nobody can: then it may live.
        return !Files.exists(PROC.resolve("self")) || Files.exists(PROC.resolve(process));
    }

    private static String process() throws IOException {
        Path self = PROC.resolve("self");
        return Files.exists(self) ? self.toRealPath().getFileName().toString() : "0";
    }

    private static String host() {
        try {
            Path name = PROC.resolve("sys/kernel/hostname");
            return new String(Files.readAllBytes(name), StandardCharsets.UTF_8).trim();
        } catch (IOException error) {
            return hostByAddress();
        }
    }

    private static String hostByAddress() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (IOException error) {
            return "localhost";
        }
    }

    private static String program() {
        String[] command = System.getProperty("sun.java.command", "").split("\\s+");
        return ("java " + command[0]).trim();
    }

    /** Gives the lock back. */
    @Override
    public void close() throws IOException {
        synchronized (HELD) {
            if (HELD.remove(path)) {
                Files.deleteIfExists(path);
            }
        }
    }
}
