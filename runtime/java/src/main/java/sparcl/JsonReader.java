package sparcl;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads a text of JSON; throws IllegalArgumentException where it is none. */
final class JsonReader {
    static final char END = '\0';
    static final String ESCAPES = "\"\\bfnrt";
    static final String ESCAPED = "\"\\\b\f\n\r\t";
    private static final int DEEPEST = 200;
    private static final String NUMBER = "+-.eE0123456789";

    private final String text;
    private int at;

    JsonReader(String text) {
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
