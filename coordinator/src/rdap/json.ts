/** JSON of strangers. */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** None or one. */
export const textOf = (value: unknown): string[] => (typeof value === 'string' ? [value] : []);
