/** The page: it shows drawings to the worker, and what this has learnt to the user. */
import { bars, forgetting, lines, mask } from "./charts.js";
import type { Answer, Order, Pictures, Status } from "./messages.js";
import { Pad } from "./pad.js";
import { joined, picture, variants } from "./pictures.js";

/** Every so many drawings one is held back, to test with; fewer than the least are too few to learn from. */
const HELD_BACK = 4;
const LEAST = 3;
const MOST_CLASSES = 10;

function part<Kind extends Element = HTMLElement>(id: string): Kind {
  return document.querySelector(`#${id}`) as unknown as Kind;
}

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const order = (one: Order) => worker.postMessage(one);
const camera = part<HTMLVideoElement>("camera");
const name = part<HTMLInputElement>("name");
const layer = part<HTMLSelectElement>("layer");
const kept: Pictures[] = [];
let status: Status | undefined;
let before: Status | undefined;
let busy = true;

/** What is said of each way to learn. */
const WAYS = {
  taught:
    "Sparse: a mask keeps a fifth of the weights, and some old drawings are shown again while new ones are learnt.",
  plain: "Plain fine-tuning: all weights, and new drawings alone. Watch the earlier symbols.",
};

const pad = new Pad(part("pad"), part("cursor"), ask);

function ask(): void {
  order({ do: "guess", picture: picture(...source()) });
}

function source(): [CanvasImageSource, number, number] {
  if (camera.hidden) return [pad.canvas, pad.canvas.width, pad.canvas.height];
  return [camera, camera.videoWidth, camera.videoHeight];
}

function clear(): void {
  pad.clear();
  part("guess").textContent = "\u00a0";
}

function keep(): void {
  if (camera.hidden ? pad.empty : !camera.videoWidth) return;
  const pictures = variants(...source());
  kept.push(pictures);
  thumbnail(pictures);
  clear();
  ready();
}

/** A small picture of what was kept, which drops it when pressed. */
function thumbnail(pictures: Pictures): void {
  const [item, button, canvas] = [
    document.createElement("li"),
    document.createElement("button"),
    document.createElement("canvas"),
  ];
  canvas.width = canvas.height = 96;
  canvas.getContext("2d")?.drawImage(...crop(source()), 0, 0, 96, 96);
  button.type = "button";
  button.ariaLabel = `Drop picture ${kept.length}`;
  button.title = "Drop it";
  button.append(canvas);
  button.onclick = () => {
    kept.splice(kept.indexOf(pictures), 1);
    item.remove();
    ready();
    name.focus();
  };
  item.append(button);
  part("kept").append(item);
}

function crop([one, width, height]: [CanvasImageSource, number, number]): [
  CanvasImageSource,
  number,
  number,
  number,
  number,
] {
  const side = Math.min(width, height);
  return [one, (width - side) / 2, (height - side) / 2, side, side];
}

/** Say what is missing before something can be learnt. */
function ready(): void {
  const missing = lacks();
  part<HTMLButtonElement>("learn").disabled = busy || missing !== "";
  part("needs").textContent = busy ? (status ? "" : "Getting ready …") : missing;
}

function lacks(): string {
  const given = name.value.trim();
  const classes = status?.classes ?? [];
  if (classes.length >= MOST_CLASSES) return `It has learnt ${MOST_CLASSES} symbols, and has no place for more.`;
  if (kept.length < LEAST) return `${LEAST - kept.length} more to keep, each drawn a little differently.`;
  if (!given) return "Now it needs a name.";
  return classes.includes(given) ? `It knows ${given} already.` : "";
}

function learn(event: Event): void {
  event.preventDefault();
  if (busy || lacks()) return;
  const held = (place: number) => place % HELD_BACK === Math.min(kept.length, HELD_BACK) - 1;
  const train = joined(kept.filter((_, place) => !held(place)));
  const test = joined(kept.filter((_, place) => held(place)));
  work(true);
  order({ do: "learn", name: name.value.trim(), train, test });
  kept.length = 0;
  part("kept").replaceChildren();
  name.value = "";
  clear();
  ready();
}

function work(now: boolean): void {
  busy = now;
  document.body.dataset.busy = String(now);
  part("learning").hidden = !now || !part("what").textContent;
  if (!now) part("what").textContent = "";
  ready();
}

/** What each answer of the worker does to the page. */
const answers: { [Say in Answer["say"]]: (answer: Extract<Answer, { say: Say }>) => void } = {
  status: (answer) => {
    before = status?.mode === answer.mode ? status : undefined;
    status = answer;
    part<HTMLInputElement>("plain").checked = answer.mode === "plain";
    shown();
    masks();
    if (!pad.empty && camera.hidden) ask();
  },
  points: ({ points }) => {
    if (!status) return;
    const found = Object.keys(points.at(-1)?.byClass ?? {});
    status = { ...status, points, classes: found };
    shown();
  },
  progress: ({ name: what, share, loss }) => {
    part("what").textContent = `Learning ${what}, loss ${loss.toFixed(2)}`;
    part<HTMLProgressElement>("progress").value = share;
    part("learning").hidden = false;
    part("failure").textContent = "";
  },
  idle: () => work(false),
  guess: ({ name: what, probability }) => {
    part("guess").textContent =
      pad.empty && camera.hidden ? "\u00a0" : `Looks like ${what} (${Math.round(100 * probability)} %)`;
  },
  failed: ({ message }) => {
    part("failure").textContent = message;
  },
};

function shown(): void {
  if (!status) return;
  const { classes, points, sparsity, flops } = status;
  part("way").textContent = WAYS[status.mode];
  part("nothing").hidden = classes.length > 0;
  bars(part("bars"), classes, points.at(-1));
  part<SVGElement>("lines").style.display = points.length ? "" : "none";
  lines(part("lines"), classes, points);
  const fallen = forgetting(classes, points);
  part("forgetting").textContent = fallen === null ? "–" : `${Math.round(fallen)} points`;
  part("sparsity").textContent = classes.length ? `${Math.round(100 * sparsity)} %` : "–";
  part("flops").textContent = flops.dense
    ? `${(flops.sparse / 1e9).toFixed(1)} of ${(flops.dense / 1e9).toFixed(1)} GFLOP`
    : "–";
}

function masks(): void {
  const all = status?.masks ?? [];
  const chosen = layer.selectedIndex;
  layer.replaceChildren(...all.map(({ name: weight, shape }) => new Option(`${weight} (${shape.join(" × ")})`)));
  layer.selectedIndex = Math.min(Math.max(chosen, 0), all.length - 1);
  const one = all[layer.selectedIndex];
  part<HTMLCanvasElement>("mask").hidden = !one;
  part("layers").hidden = !one;
  if (!one) {
    part("legend").textContent =
      status?.mode === "plain" ? "Plain fine-tuning has no masks." : "There are masks when something was learnt.";
    return;
  }
  mask(part("mask"), one, before?.masks[layer.selectedIndex]?.kept);
  const count = one.kept.reduce((sum, each) => sum + each, 0);
  const text = `${count} of ${one.kept.length} weights are kept: tiles are kernels, inputs down, outputs across.`;
  part("legend").textContent = before ? `${text} Orange: grown since the class before.` : text;
  part("mask").ariaLabel = text;
}

async function look(wanted: boolean): Promise<void> {
  const stream = camera.srcObject as MediaStream | null;
  for (const track of stream?.getTracks() ?? []) track.stop();
  [camera.srcObject, camera.hidden, pad.canvas.hidden] = [null, !wanted, wanted];
  if (!wanted) return;
  try {
    camera.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await camera.play();
  } catch (error) {
    part("failure").textContent = `There is no camera to use here (${(error as Error).message}); draw instead.`;
    part<HTMLInputElement>("pad-box").ownerDocument.querySelector<HTMLInputElement>("[value=pad]")?.click();
  }
}

worker.onmessage = ({ data }: MessageEvent<Answer>) => (answers[data.say] as (answer: Answer) => void)(data);
worker.onerror = ({ message }) => answers.failed({ say: "failed", message });
part("clear").onclick = clear;
part("keep").onclick = keep;
part("teach").onsubmit = learn;
part("stop").onclick = () => order({ do: "stop" });
part("plain").onchange = ({ target }) => {
  work(true);
  order({ do: "mode", mode: (target as HTMLInputElement).checked ? "plain" : "taught" });
};
part("forget").onclick = () => part<HTMLDialogElement>("sure").showModal();
part<HTMLDialogElement>("sure").onclose = () => {
  if (part<HTMLDialogElement>("sure").returnValue === "yes") order({ do: "forget" });
};
name.oninput = ready;
layer.onchange = masks;
addEventListener("resize", shown);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", masks);
pad.canvas.addEventListener("keydown", ({ key }) => {
  if (key === "Enter") keep();
  if (key === "Delete" || key === "Backspace") clear();
});
for (const choice of document.querySelectorAll<HTMLInputElement>("[name=source]"))
  choice.onchange = () => void look(choice.value === "camera");
setInterval(() => {
  if (!camera.hidden && camera.videoWidth && !busy) ask();
}, 500);
ready();
shown();
