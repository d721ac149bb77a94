import { type SqlLimits, limitSettings, outputSettings } from './limits.ts';

/**
 * Configuration of the embedded engine in the sandbox. While it is prepared, its only user may do everything;
 * afterwards it may read the tables of its own database, and no setting can be changed.
 */
export function engineConfig(usersFile: string, tablesBelow: string): string {
  return `<clickhouse>
  <users_config>${xml(usersFile)}</users_config>
  <custom_local_disks_base_directory>${xml(tablesBelow)}</custom_local_disks_base_directory>
</clickhouse>
`;
}

export const preparingUsers = users({}, 'GRANT ALL ON *.*');

export const readingUsers = (limits: SqlLimits): string =>
  users(
    {
      ...limitSettings(limits),
      ...outputSettings,
      readonly: 1,
      allow_ddl: 0,
      allow_introspection_functions: 0,
    },
    'GRANT SELECT ON default.*',
  );

function users(settings: Readonly<Record<string, string | number>>, grant: string): string {
  const profile = Object.entries(settings).map(([name, value]) => `<${name}>${xml(String(value))}</${name}>`);
  return `<clickhouse>
  <profiles><default>${profile.join('')}</default></profiles>
  <quotas><default></default></quotas>
  <users><default>
    <password></password><profile>default</profile><quota>default</quota>
    <networks><ip>::/0</ip></networks>
    <grants><query>${grant}</query></grants>
  </default></users>
</clickhouse>
`;
}

const xml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
