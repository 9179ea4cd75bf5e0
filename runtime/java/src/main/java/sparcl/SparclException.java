package sparcl;

/** A user's mistake, a damaged file or a training that cannot go on. The message is one line: the fault, the mend. */
public class SparclException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** An error with its line. */
    public SparclException(String message) {
        super(message);
    }

    /** An error with its line and the error behind it. */
    public SparclException(String message, Throwable cause) {
        super(message, cause);
    }
}
