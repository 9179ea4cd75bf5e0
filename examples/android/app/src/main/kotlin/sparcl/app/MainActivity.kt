package sparcl.app

import android.graphics.Bitmap
import android.graphics.ImageDecoder
import android.graphics.BitmapFactory
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.widget.Button
import android.widget.EditText
import android.widget.ImageView
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.activity.result.contract.ActivityResultContracts.TakePicturePreview
import java.util.concurrent.Executors
import sparcl.Samples
import sparcl.SparclException

/** One screen: a picture, its name, and what the learner takes it for. */
class MainActivity : ComponentActivity() {
    private val background = Executors.newSingleThreadExecutor()
    private var picture: Bitmap? = null
    private val teacher get() = (application as TeachApplication).teacher

    private val camera = registerForActivityResult(TakePicturePreview()) { it?.let(::show) }
    private val gallery = registerForActivityResult(PickVisualMedia()) { it?.let { uri -> show(decoded(uri)) } }

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        findViewById<Button>(R.id.camera).setOnClickListener { camera.launch(null) }
        findViewById<Button>(R.id.gallery).setOnClickListener {
            gallery.launch(PickVisualMediaRequest(PickVisualMedia.ImageOnly))
        }
        findViewById<Button>(R.id.teach).setOnClickListener { teach() }
        findViewById<Button>(R.id.ask).setOnClickListener { ask() }
    }

    override fun onDestroy() {
        background.shutdown()
        super.onDestroy()
    }

    private fun show(bitmap: Bitmap) {
        picture = bitmap
        findViewById<ImageView>(R.id.picture).setImageBitmap(bitmap)
        for (id in listOf(R.id.teach, R.id.ask)) findViewById<Button>(id).isEnabled = true
    }

    /** A picture of the gallery, at most LARGEST pixels wide and high: the artifact makes the rest of the way. */
    private fun decoded(uri: Uri): Bitmap {
        val whole = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
            ImageDecoder.decodeBitmap(ImageDecoder.createSource(contentResolver, uri)) { decoder, info, _ ->
                decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE // pixels can be read
                decoder.setTargetSampleSize(maxOf(1, maxOf(info.size.width, info.size.height) / LARGEST))
            }
        } else {
            contentResolver.openInputStream(uri).use { BitmapFactory.decodeStream(it) }
        }
        val scale = LARGEST.toFloat() / maxOf(whole.width, whole.height)
        if (scale >= 1) return whole
        return Bitmap.createScaledBitmap(whole, (whole.width * scale).toInt(), (whole.height * scale).toInt(), true)
    }

    private fun sample(): Samples {
        val bitmap = picture!!.copy(Bitmap.Config.ARGB_8888, false)
        val pixels = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        return Pixels.sample(pixels, bitmap.width)
    }

    private fun teach() {
        val name = findViewById<EditText>(R.id.name).text.toString().trim()
        if (name.isEmpty()) return
        inBackground {
            teacher.keep(sample(), name)
            LearnWorker.ask(applicationContext)
            getString(R.string.kept)
        }
    }

    private fun ask() = inBackground {
        val found = teacher.guess(sample()).take(SHOWN)
        found.joinToString("\n") { (name, share) -> "%s  %.0f %%".format(name, 100 * share) }
            .ifEmpty { getString(R.string.unknown) }
    }

    /** Shows what a block returns, or the one line of what it cannot do. */
    private fun inBackground(block: () -> String) {
        background.execute {
            val text = try {
                block()
            } catch (error: SparclException) {
                error.message ?: ""
            }
            runOnUiThread { findViewById<TextView>(R.id.answer).text = text }
        }
    }

    private companion object {
        const val LARGEST = 256
        const val SHOWN = 4
    }
}
