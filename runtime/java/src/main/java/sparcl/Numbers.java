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

    static long[] array(List<Integer> numbers) {
        long[] made = new long[numbers.size()];
        for (int place = 0; place < made.length; place++) {
            made[place] = numbers.get(place);
        }
        return made;
    }
}
