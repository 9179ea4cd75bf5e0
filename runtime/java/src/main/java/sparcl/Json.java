package sparcl;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A JSON value, read-only: an object, a list, a text, a number, true, false or null.
 *
 * <p>Integers are {@code Long}, other numbers {@code Double}. A name that an object lacks is null, as one that has null.
 */
final class Json implements Iterable<Json> {
    private static final int DEEPEST = 200;

    /** The value as Java has it: Map, List, String, Long, Double, Boolean or null. */
    final Object plain;

    private Json(Object plain) {
        this.plain = plain;
    }

    static Json of(Object plain) {
        return new Json(plain);
    }

    /** Reads a text; throws IllegalArgumentException where it is no JSON. */
    static Json parse(String text) {
        Reader reader = new Reader(text);
        Object found = reader.value(0);
        if (reader.next() != Reader.END) {
            throw reader.wrong();
        }
        return new Json(found);
    }

    boolean isNull() {
        return plain == null;
    }

    boolean isText() {
        return plain instanceof String;
    }

    boolean isList() {
        return plain instanceof List;
    }

    Json get(String name) {
        return new Json(object().get(name));
    }

    String text() {
        return as(String.class);
    }

    long integer() {
        return as(Long.class);
    }

    Number number() {
        return as(Number.class);
    }

    boolean flag() {
        return as(Boolean.class);
    }

    /** The text of this name, or another one where there is none. */
    String text(String name, String otherwise) {
        Json found = get(name);
        return found.isNull() ? otherwise : found.text();
    }

    /** The names of an object, in order; none for null. */
    Iterable<String> names() {
        List<String> made = new ArrayList<>();
        for (Object name : isNull() ? Collections.emptySet() : object().keySet()) {
            made.add((String) name);
        }
        return made;
    }

    /** The entries of a list, in order; none for null. */
    @Override
    public Iterator<Json> iterator() {
        List<Json> entries = new ArrayList<>();
        for (Object one : isNull() ? Collections.emptyList() : (List<?>) as(List.class)) {
            entries.add(new Json(one));
        }
        return entries.iterator();
    }

    /** The texts of a list; none for null. */
    List<String> texts() {
        List<String> made = new ArrayList<>();
        for (Json one : this) {
            made.add(one.text());
        }
        return made;
    }

    /** The numbers of a list of integers. */
    long[] integers() {
        List<?> found = as(List.class);
        long[] made = new long[found.size()];
        for (int place = 0; place < made.length; place++) {
            made[place] = new Json(found.get(place)).integer();
        }
        return made;
    }

    private Map<?, ?> object() {
        return as(Map.class);
    }

    private <T> T as(Class<T> kind) {
        if (!kind.isInstance(plain)) {
            throw new IllegalArgumentException("a JSON value is not what it must be: " + this);
        }
        return kind.cast(plain);
    }

    /** The text of this value as Python's {@code json.dumps} writes it: checksums are made of such texts. */
    @Override
    public String toString() {
        StringBuilder into = new StringBuilder();
        write(plain, into);
        return into.toString();
    }

    private static void write(Object value, StringBuilder into) {
        if (value instanceof Map) {
            writeObject((Map<?, ?>) value, into);
        } else if (value instanceof Iterable) {
            writeList((Iterable<?>) value, into);
        } else if (value instanceof CharSequence) {
            writeText(value.toString(), into);
        } else {
            into.append(value);
        }
    }

    private static void writeObject(Map<?, ?> map, StringBuilder into) {
        String before = "{";
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            writeText((String) entry.getKey(), into.append(before));
            write(entry.getValue(), into.append(": "));
            before = ", ";
        }
        into.append(map.isEmpty() ? "{}" : "}");
    }

    private static void writeList(Iterable<?> list, StringBuilder into) {
        String before = "[";
        for (Object one : list) {
            write(one, into.append(before));
            before = ", ";
        }
        into.append(before.equals("[") ? "[]" : "]");
    }

    private static void writeText(String text, StringBuilder into) {
        into.append('"');
        for (char letter : text.toCharArray()) {
            int known = Reader.ESCAPED.indexOf(letter);
            if (known >= 0) {
                into.append('\\').append(Reader.ESCAPES.charAt(known));
            } else if (letter < ' ' || letter > '~') {
                into.append(String.format("\\u%04x", (int) letter));
            } else {
                into.append(letter);
            }
        }
        into.append('"');
    }

    private static final class Reader {
        static final char END = '\0';
        static final String ESCAPES = "\"\\bfnrt";
        static final String ESCAPED = "\"\\\b\f\n\r\t";
        private static final String NUMBER = "+-.eE0123456789";

        private final String text;
        private int at;

        Reader(String text) {
            this.text = text;
        }

        IllegalArgumentException wrong() {
            return new IllegalArgumentException("no JSON from letter " + at + " on");
        }

        /** The next letter that is no space, or END; it stays the next one. */
        char next() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
            return at < text.length() ? text.charAt(at) : END;
        }

        private boolean taken(char wanted) {
            boolean found = next() == wanted;
            at += found ? 1 : 0;
            return found;
        }

        private void take(char wanted) {
            if (!taken(wanted)) {
                throw wrong();
            }
        }

        Object value(int depth) {
            if (depth > DEEPEST) {
                throw wrong();
            }
            switch (next()) {
                case '{':
                    return object(depth);
                case '[':
                    return list(depth);
                case '"':
                    return string();
                default:
                    return word();
            }
        }

        private Map<String, Object> object(int depth) {
            Map<String, Object> made = new LinkedHashMap<>();
            take('{');
            if (taken('}')) {
                return made;
            }
            do {
                next();
                String name = string();
                take(':');
                made.put(name, value(depth + 1));
            } while (taken(','));
            take('}');
            return made;
        }

        private List<Object> list(int depth) {
            List<Object> made = new ArrayList<>();
            take('[');
            if (taken(']')) {
                return made;
            }
            do {
                made.add(value(depth + 1));
            } while (taken(','));
            take(']');
            return made;
        }

        private String string() {
            take('"');
            StringBuilder made = new StringBuilder();
            for (char letter = letter(); letter != '"'; letter = letter()) {
                made.append(letter == '\\' ? escape(letter()) : letter);
            }
            return made.toString();
        }

        private char letter() {
            if (at >= text.length()) {
                throw wrong();
            }
            return text.charAt(at++);
        }

        private char escape(char sign) {
            int known = ESCAPES.indexOf(sign);
            if (known >= 0) {
                return ESCAPED.charAt(known);
            }
            if (sign == '/') {
                return sign;
            }
            if (sign != 'u' || at + 4 > text.length()) {
                throw wrong();
            }
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 4, at), 16);
        }

        private Object word() {
            int from = at;
            while (at < text.length() && (NUMBER.indexOf(text.charAt(at)) >= 0 || Character.isLetter(text.charAt(at)))) {
                at++;
            }
            String word = text.substring(from, at);
            switch (word) {
                case "true":
                    return true;
                case "false":
                    return false;
                case "null":
                    return null;
                default:
                    return number(word);
            }
        }

        private Number number(String word) {
            if (word.matches("-?\\d+")) {
                return Long.valueOf(word);
            }
            if (word.equals("NaN")) { // Python writes it
                return Double.NaN;
            }
            if (!word.matches("-?\\d+(\\.\\d+)?([eE][+-]?\\d+)?")) {
                throw wrong();
            }
            return Double.valueOf(word);
        }
    }
}
