/** What one query of a user may cost. */
export interface SqlLimits {
  readonly seconds: number;
  /** At least 10,000: the syntax tree of a query, and the list of functions, are results too. */
  readonly rows: number;
  /** Bytes of the result, before it is formatted and after that. */
  readonly resultBytes: number;
  /** Bytes of memory while it runs. */
  readonly memoryBytes: number;
}

/**
 * The limits as settings of the engine; each bites by an error, so that no result is cut off in silence. A query
 * that needs more memory than it may have fails instead of writing to disk.
 */
export const limitSettings = ({ seconds, rows, resultBytes, memoryBytes }: SqlLimits) => ({
  max_execution_time: seconds,
  timeout_overflow_mode: 'throw',
  max_result_rows: rows,
  max_result_bytes: resultBytes,
  result_overflow_mode: 'throw',
  max_memory_usage: memoryBytes,
  max_bytes_before_external_group_by: 0,
  max_bytes_before_external_sort: 0,
  max_bytes_ratio_before_external_group_by: 0,
  max_bytes_ratio_before_external_sort: 0,
  max_threads: 2,
  max_ast_depth: 500,
  max_ast_elements: 5000,
  max_expanded_ast_elements: 50_000,
  max_query_size: 262_144,
  max_parser_depth: 300,
});

/** How results are written, whichever engine: big integers as numbers, times as ISO 8601. */
export const outputSettings = {
  output_format_json_quote_64bit_integers: 0,
  date_time_output_format: 'iso',
  output_format_arrow_compression_method: 'none',
};
