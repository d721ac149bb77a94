/** For gauges of age: 0 where there is nothing, or it is yet to come. Times in milliseconds since 1970. */
export const secondsSince = (at: number | undefined, now: number): number =>
  at === undefined ? 0 : Math.max(0, now - at) / 1_000;
