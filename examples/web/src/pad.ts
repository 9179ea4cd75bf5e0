/** A pad to draw on, by pointer or by keyboard. */

const INK = 20;
/** Pixels that an arrow key moves the pen by. */
const STRIDE = 12;
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-STRIDE, 0],
  ArrowRight: [STRIDE, 0],
  ArrowUp: [0, -STRIDE],
  ArrowDown: [0, STRIDE],
};

export class Pad {
  empty = true;
  private pen: readonly [number, number];
  private down = false;
  private readonly context: CanvasRenderingContext2D;

  /**
   * @param canvas what is drawn on; white, so that pictures are alike whatever the page's colours
   * @param cursor shows the pen of the keyboard
   * @param drawn called when a line is finished
   */
  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly cursor: HTMLElement,
    private readonly drawn: () => void,
  ) {
    this.context = canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
    this.pen = [canvas.width / 2, canvas.height / 2];
    this.clear();
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.lift());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.lift());
  }

  clear(): void {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.empty = true;
    this.show();
  }

  private begin(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    this.down = true;
    this.pen = this.at(event);
    this.line(this.pen);
  }

  private move(event: PointerEvent): void {
    if (this.down) for (const one of event.getCoalescedEvents?.() ?? [event]) this.line(this.at(one));
  }

  private lift(): void {
    if (this.down && !this.empty) this.drawn();
    this.down = false;
    this.show();
  }

  private key(event: KeyboardEvent): void {
    const step = ARROWS[event.key];
    if (event.key === " ") {
      if (this.down) this.lift();
      else this.down = true;
      if (this.down) this.line(this.pen);
    } else if (step) {
      const to = this.pen.map((one, axis) => Math.min(this.canvas.width, Math.max(0, one + (step[axis] ?? 0))));
      if (this.down) this.line(to as [number, number]);
      this.pen = to as [number, number];
    } else return;
    event.preventDefault();
    this.show();
  }

  private at({ clientX, clientY }: PointerEvent): readonly [number, number] {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return [(clientX - box.left) * scale, (clientY - box.top) * scale];
  }

  private line(to: readonly [number, number]): void {
    Object.assign(this.context, { lineWidth: INK, lineCap: "round", lineJoin: "round", strokeStyle: "#111" });
    this.context.beginPath();
    this.context.moveTo(...this.pen);
    this.context.lineTo(...to);
    this.context.stroke();
    this.pen = to;
    this.empty = false;
  }

  private show(): void {
    const [x, y] = this.pen.map((one) => `${(100 * one) / this.canvas.width}%`);
    Object.assign(this.cursor.style, { left: x, top: y });
    this.cursor.dataset.down = String(this.down);
  }
}
