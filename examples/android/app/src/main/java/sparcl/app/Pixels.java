package sparcl.app;

import sparcl.Samples;

/** Pictures as Android has them, an integer 0xAARRGGBB a pixel, as samples. */
public final class Pixels {
    private static final int RED = 16;
    private static final int GREEN = 8;

    private Pixels() {}

    /**
     * One picture as a sample [1, H, W, 3] of bytes: red, green, blue. What is transparent is left out of account.
     *
     * @param pixels row by row, as {@code Bitmap.getPixels} gives them
     * @param width of a row
     */
    public static Samples sample(int[] pixels, int width) {
        byte[] made = new byte[3 * pixels.length];
        for (int place = 0; place < pixels.length; place++) {
            made[3 * place] = (byte) (pixels[place] >> RED);
            made[3 * place + 1] = (byte) (pixels[place] >> GREEN);
            made[3 * place + 2] = (byte) pixels[place];
        }
        return Samples.of(made, 1, pixels.length / width, width, 3);
    }
}
