package sparcl;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/**
 * A JSON value, read-only: an object, a list, a text, a number, true, false or null.
 *
 * <p>Integers are {@code Long}, other numbers {@code Double}. A name that an object lacks is null.
 */
final class Json implements Iterable<Json> {
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
        JsonReader reader = new JsonReader(text);
        Object found = reader.value(0);
        if (reader.next() != JsonReader.END) {
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
            int known = JsonReader.ESCAPED.indexOf(letter);
            if (known >= 0) {
                into.append('\\').append(JsonReader.ESCAPES.charAt(known));
            } else if (letter < ' ' || letter > '~') {
                into.append(String.format("\\u%04x", (int) letter));
            } else {
                into.append(letter);
            }
        }
        into.append('"');
    }
}
