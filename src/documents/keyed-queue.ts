// One task at a time for each key, in the order they came: saves of one document in this process do
// not fight over its CAS. Other nodes still may.

/** Runs tasks of the same key one after another. Its memory is that of the tasks under way. */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `task` when the tasks of `key` before it have ended, at once when there are none. */
  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const mine = before === undefined ? task() : before.then(task, task);
    this.#tails.set(key, mine);
    const done = () => {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    };
    mine.then(done, done);
    return mine;
  }

  /** The keys that have tasks under way. */
  get size(): number {
    return this.#tails.size;
  }
}
