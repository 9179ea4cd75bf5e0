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

async function tasks(): Promise<number> {
  return learner.report().then(
    (report) => report.classesByTask.length,
    () => 0,
  );
}

await learner.learn();
for (const [number, classes] of ["ab", "cd"].entries()) {
  if ((await tasks()) > number) continue;
  await learner.learn(lot(classes, 8).samples, lot(classes, 8).labels, { epochs: 3 });
  console.log(`task ${number}`);
}
for (let row = (await learner.report()).waiting; row < 4 && (await tasks()) < 3; row++) {
  await learner.observe(...one(ROUND, row), { epochs: 2 });
  console.log(`observed ${row}`);
}
await learner.close();
console.log("end");
