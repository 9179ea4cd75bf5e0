/**
 * `node dist/test/app.js STATE`: an app that learns two tasks and three observed samples, from wherever its state stands.
 *
 * It prints a line for what is done for good, and can be killed at any moment.
 */
import { lot, one, open } from "./support.js";

const [state = ""] = process.argv.slice(2);
const ROUND = lot("abcd", 1);
const learner = await open(state, { batch: 4 });
console.log("open");

async function stands(): Promise<{ tasks: number; waiting: number }> {
  return learner.report().then(
    ({ classesByTask, waiting }) => ({ tasks: classesByTask.length, waiting }),
    () => ({ tasks: 0, waiting: 0 }),
  );
}

// Samples that are too few for a round go on waiting.
if ((await stands()).waiting % 4 === 0) await learner.learn(undefined, [], { epochs: 2 });
for (const [number, classes] of ["ab", "cd"].entries()) {
  if ((await stands()).tasks > number) continue;
  await learner.learn(lot(classes, 8).samples, lot(classes, 8).labels, { epochs: 3 });
  console.log(`task ${number}`);
}
for (let { waiting: row } = await stands(); row < 4 && (await stands()).tasks < 3; row++) {
  await learner.observe(...one(ROUND, row), { epochs: 2 });
  console.log(`observed ${row}`);
}
await learner.close();
console.log("end");
