package sparcl.app

import android.content.Context
import androidx.work.Constraints
import androidx.work.ExistingWorkPolicy
import androidx.work.OneTimeWorkRequestBuilder
import androidx.work.WorkManager
import androidx.work.Worker
import androidx.work.WorkerParameters

/** Learns the pictures that wait while the phone is charging; the system may stop it at any time. */
class LearnWorker(context: Context, parameters: WorkerParameters) : Worker(context, parameters) {
    override fun doWork(): Result {
        val teacher = (applicationContext as TeachApplication).teacher
        return if (teacher.study(EPOCHS) { !isStopped }) Result.success() else Result.retry()
    }

    companion object {
        private const val NAME = "learn"
        private const val EPOCHS = 5L

        /** Asks for the job, once for all pictures that wait. */
        fun ask(context: Context) {
            val charging = Constraints.Builder().setRequiresCharging(true).setRequiresBatteryNotLow(true).build()
            val request = OneTimeWorkRequestBuilder<LearnWorker>().setConstraints(charging).build()
            WorkManager.getInstance(context).enqueueUniqueWork(NAME, ExistingWorkPolicy.APPEND_OR_REPLACE, request)
        }
    }
}
