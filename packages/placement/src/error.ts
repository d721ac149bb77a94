export type PlacementErrorCode =
  /** Not CAIDA's as-rel format; the message names the line. */
  | 'bad-as-rel'
  /** Not a list of sites. */
  | 'bad-sites'
  /** A perspective's AS is not in the graph. */
  | 'unknown-as'
  /** The sites cannot meet the quorum's policy. */
  | 'too-few-sites'
  /** A number outside of its range. */
  | 'bad-setting';

export class PlacementError extends Error {
  override readonly name = 'PlacementError';
  readonly code: PlacementErrorCode;

  constructor(code: PlacementErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
