/** Who writes into a store on a server; before all steps, since only its holder may take them. */
export const leaseTable = `CREATE TABLE IF NOT EXISTS leases @cluster (
  epoch UInt64 COMMENT 'Rises each time another process takes over; the highest counts',
  holder String COMMENT 'Random name of a process that writes',
  released Bool COMMENT 'It has ended in order',
  at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was taken or renewed last, by the clock of the store'
) ENGINE = @ReplacingMergeTree(at)
ORDER BY (epoch, holder)
@derived
COMMENT 'Which of several sinks may write (read with FINAL)'`;
