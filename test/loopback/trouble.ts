// Things that go wrong at the nodes all the time, for end-to-end tests: what a cluster does to its
// clients in a bad week, within minutes.

import { SeededRandom } from "../harness/random.ts";
import type { LoopbackCluster } from "./cluster.ts";

/** Between one trouble and the next, unless TEST_FAULTS_PAUSE says how long at most. */
const LEAST_PAUSE_MS = 50;
const MOST_PAUSE_MS = 400;

/** Makes trouble for as long as the process lives; the seed repeats what and in which order. */
export function makeTrouble(cluster: LoopbackCluster, seed: number): void {
  const random = new SeededRandom(seed);
  const most = Number(process.env.TEST_FAULTS_PAUSE ?? MOST_PAUSE_MS);
  const next = () => {
    one(cluster, random);
    setTimeout(next, random.between(LEAST_PAUSE_MS, most));
  };
  setTimeout(next, most);
}

function one(cluster: LoopbackCluster, random: SeededRandom): void {
  const node = random.pick(cluster.nodes);
  switch (random.below(5)) {
    case 0:
      node.dropConnections();
      return;
    case 1:
      node.faults.temporaryFailures = random.below(5);
      return;
    case 2:
      node.faults.cutAfterBytes = random.between(100, 50_000);
      return;
    case 3: {
      // A rebalance: some vbuckets go to another node.
      const to = random.below(cluster.nodes.length);
      const first = random.below(cluster.active.length);
      cluster.move(
        Array.from({ length: 64 }, (_, at) => (first + at) % cluster.active.length),
        to,
      );
      return;
    }
    default:
      node.faults.delayMs = random.below(2) === 0 ? 0 : random.between(1, 20);
  }
}
