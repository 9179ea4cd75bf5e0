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

// Samples that are too few for a round go on waiting.
if (learner.underWay || learner.waiting === 4) await learner.learn(undefined, [], { epochs: 2 });
for (const classes of ["ab", "cd"].slice(learner.tasks)) {
  await learner.learn(lot(classes, 8).samples, lot(classes, 8).labels, { epochs: 3 });
  console.log(`learnt ${classes}`);
}
while (learner.observed < 4) {
  await learner.observe(...one(ROUND, learner.observed), { epochs: 2 });
  console.log(`observed ${learner.observed}`);
}
await learner.close();
console.log("end");
