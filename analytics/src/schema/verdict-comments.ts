const opinion =
  'First opinion, as in observations: it stays, whatever is made of it once an incident is open or facts are judged again';

/** Said more exactly than by the steps that made the tables. */
export const verdictComments: readonly string[] = [
  `ALTER TABLE verdicts @cluster MODIFY COMMENT 'Verdicts that differ from the one before them, after facts were judged again: of these and the one stored with the observation, the one with the highest rules_version counts (read with FINAL)'`,
  ...['rates_by_hour', 'rates_by_minute'].map(
    (table) => `ALTER TABLE ${table} @cluster COMMENT COLUMN verdict '${opinion}'`,
  ),
];
