/** What JetStream says of a message that is stored. */
export interface Stored {
  /** Its number in the stream. */
  readonly seq: number;
  /** It was there already. */
  readonly duplicate: boolean;
}

interface Acknowledgement {
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: { readonly description?: string };
}

/** JetStream's answer to a message that was offered to it, or why it is not stored. */
export function readStored(message: {
  readonly headers?: { readonly code: number };
  json<T>(): T;
}): Stored | string {
  // From the server itself: nobody takes this subject.
  if (message.headers?.code === 503) return 'no stream takes it';
  try {
    const { stream, seq, duplicate = false, error } = message.json<Acknowledgement>();
    if (!error && stream && seq !== undefined) return { seq, duplicate };
    return error?.description ?? 'an acknowledgement without a stream';
  } catch {
    return 'an acknowledgement that cannot be read';
  }
}
