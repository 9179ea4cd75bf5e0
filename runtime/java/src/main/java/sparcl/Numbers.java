package sparcl;

import java.util.ArrayList;
import java.util.List;

/** Numbers as lists. */
final class Numbers {
    private Numbers() {}

    static List<Long> list(long... numbers) {
        List<Long> made = new ArrayList<>();
        for (long number : numbers) {
            made.add(number);
        }
        return made;
    }
}
