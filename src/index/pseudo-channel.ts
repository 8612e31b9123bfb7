// Pseudo-channels: where the grants of a principal are indexed. Names only.

/** A principal: `user:` or `role:`, and its name. */
export type PrincipalId = `user:${string}` | `role:${string}`;

/** Control characters are in no channel's name, so no document can be put into a pseudo-channel. */
const PSEUDO_MARK = "\u0001";

/** The pseudo-channel that holds a principal's grants. */
export function pseudoChannel(principal: PrincipalId): string {
  return PSEUDO_MARK + principal;
}

/** Whether a channel is a principal's pseudo-channel. */
export function isPseudoChannel(channel: string): boolean {
  return channel.startsWith(PSEUDO_MARK);
}
