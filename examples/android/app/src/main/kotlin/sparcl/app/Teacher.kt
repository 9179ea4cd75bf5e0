package sparcl.app

import java.nio.file.Path
import sparcl.Effort
import sparcl.Learner
import sparcl.Options
import sparcl.Samples
import sparcl.SparclException

/**
 * The learner of the app, without anything of Android: it keeps pictures, learns them when it may, and answers.
 *
 * Its calls take turns, and none is for the main thread: a step of training takes a while, and an answer waits for it.
 */
class Teacher(artifact: Path, state: Path, threads: Int) : AutoCloseable {
    private val learner = Learner.open(artifact, state, Options().threads(threads))

    /** Keeps a picture with its name. It is safe on disk when this returns, and learnt later. */
    fun keep(picture: Samples, name: String) {
        learner.observe(picture, name, Effort().steps(0))
    }

    /**
     * Learns what waits, a few steps at a time, so that answers come in between.
     *
     * Returns whether all is learnt; where `mayGoOn` ends it before, the rest stays under way, to the step.
     */
    fun study(epochs: Long, mayGoOn: () -> Boolean): Boolean {
        while (mayGoOn()) {
            if (learner.learn(Effort().epochs(epochs).steps(STEPS)).reason == "done") {
                return true
            }
        }
        return false
    }

    /** The likeliest classes of a picture with their probabilities, the best first; none where nothing was learnt. */
    fun guess(picture: Samples): List<Pair<String, Float>> {
        val answers = try {
            learner.predict(picture)
        } catch (error: SparclException) {
            if (learner.report().tasks > 0) throw error
            return emptyList()
        }
        return answers.classes.zip(answers.probabilities[0].asList()).sortedByDescending { it.second }
    }

    override fun close() = learner.close()

    private companion object {
        const val STEPS = 10L
    }
}
