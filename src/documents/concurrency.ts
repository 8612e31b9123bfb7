// Doing many things at once, but not too many.

/**
 * Calls `work` for each of `items`, at most `limit` at the same time, begun in their order.
 *
 * @returns the results in the order of `items`; rejects with the first failure, when all have ended
 */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]!, index);
    }
  };
  const lanes = Array.from({ length: Math.min(limit, items.length) }, lane);
  const ended = await Promise.allSettled(lanes);
  for (const lane of ended) if (lane.status === "rejected") throw lane.reason;
  return results;
}
