package sparcl.app

import android.app.Application
import ai.onnxruntime.OrtEnvironment

/** Holds the one learner of the process, which the screen and the job share. */
class TeachApplication : Application() {
    /** Opened when it is first asked for, by a thread in the background. */
    val teacher: Teacher by lazy {
        OrtEnvironment.getEnvironment().setTelemetry(false)
        val folder = filesDir.toPath()
        val artifact = Unzipped.folder(assets.open("$MODEL.sparcl.zip"), folder.resolve("$MODEL.sparcl"))
        Teacher(artifact, folder.resolve("$MODEL.state"), THREADS)
    }

    private companion object {
        /** Another artifact gets another name, in a new version of the app as well: a state belongs to its artifact. */
        const val MODEL = "model"
        const val THREADS = 2
    }
}
